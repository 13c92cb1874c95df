internal import ClusterStore
internal import Logging
internal import ManifestSource
internal import ServiceLifecycle

/// Feeds the store from manifests, and again whenever they change.
struct ManifestFeed: Service {
    private let source: ManifestSource
    private let store: ClusterStore
    private let logger: Logger
    /// Watched from the beginning, so that no change falls between.
    private let changes: AsyncStream<Void>

    init(path: String, store: ClusterStore, logger: Logger) throws {
        source = ManifestSource(path: path)
        self.store = store
        self.logger = logger
        do {
            changes = try source.changes()
        } catch {
            throw Failure("\(error)")
        }
    }

    func run() async throws {
        var source = source
        var isLoaded = await load(&source, isFirst: true)
        for await _ in changes.cancelOnGracefulShutdown() {
            isLoaded = await load(&source, isFirst: !isLoaded) || isLoaded
        }
    }

    /// Returns whether the objects were handed over.
    ///
    /// A file that is broken at the start has no last good content: what it may have brought into
    /// the kernel earlier must not be removed for that.
    private func load(_ source: inout ManifestSource, isFirst: Bool) async -> Bool {
        let (objects, errors) = source.load()
        for error in errors {
            logger.error(
                isFirst
                    ? "\(error); nothing is changed until it can be read"
                    : "\(error); its last good content stays in force"
            )
        }
        guard errors.isEmpty || !isFirst else { return false }
        await store.replaceAll(objects)
        return true
    }
}
