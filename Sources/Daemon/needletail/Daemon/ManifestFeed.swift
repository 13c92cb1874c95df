internal import Reconciler
internal import Logging
internal import ManifestSource
internal import ServiceLifecycle

/// Feeds the reconciler from manifests, at the start and whenever they change.
struct ManifestFeed: Service {
    private let source: ManifestSource
    private let reconciler: Reconciler
    private let logger: Logger
    /// The notifications about changes; they begin before the first reading, so that no change is
    /// missed.
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
        /// Whether the reconciler has been given objects.
        var isLoaded = false
        /// The errors of the last reading, kept because one change may cause several notifications.
        var errors: [String] = []
    }

    /// Reads all manifests and gives their objects to the reconciler.
    ///
    /// A file that is broken or empty at the start has no last good content. Objects that it put
    /// into the kernel in an earlier run must not be removed because of that.
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
