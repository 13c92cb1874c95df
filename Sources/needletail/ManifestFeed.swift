internal import Reconciler
internal import Logging
internal import ManifestSource
internal import ServiceLifecycle

/// Feeds the reconciler from manifests, and again whenever they change.
struct ManifestFeed: Service {
    private let source: ManifestSource
    private let reconciler: Reconciler
    private let logger: Logger
    /// Watched from the beginning, so that no change falls between.
    private let changes: AsyncStream<Void>

    init(path: String, reconciler: Reconciler, logger: Logger) throws {
        source = ManifestSource(path: path)
        self.reconciler = reconciler
        self.logger = logger
        do {
            changes = try source.changes()
        } catch {
            throw Failure("\(error)")
        }
    }

    func run() async throws {
        var source = source
        var state = State()
        await load(&source, &state)
        for await _ in changes.cancelOnGracefulShutdown() {
            await load(&source, &state)
        }
    }

    private struct State {
        /// Whether the objects were handed over once.
        var isLoaded = false
        /// What is wrong with files: one change rings several times.
        var errors: [String] = []
    }

    /// Reads everything, and hands it over.
    ///
    /// A file that is broken or empty at the start has no last good content: what it may have brought
    /// into the kernel earlier must not be removed for that.
    private func load(_ source: inout ManifestSource, _ state: inout State) async {
        let (objects, errors) = source.load()
        let known = state.errors
        state.errors = errors.map(\.description)
        for error in state.errors where !known.contains(error) {
            if state.isLoaded {
                logger.warning("\(error); its last good content stays in force")
            } else {
                logger.error("\(error); nothing is changed until it can be read")
            }
        }
        if errors.isEmpty, !known.isEmpty { logger.notice("all manifests can be read again") }
        guard errors.isEmpty || state.isLoaded else { return }
        state.isLoaded = true
        await reconciler.replaceAll(objects)
    }
}
