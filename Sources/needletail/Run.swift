internal import ArgumentParser
internal import ClusterStore
internal import IPVS
internal import KubernetesClient
internal import Logging
internal import ManifestSource
internal import NFTablesKernel
internal import NetworkTypes
internal import Netlink
internal import PlanCompiler
internal import ServiceLifecycle
internal import Syncer
internal import UnixSignals

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Program this node and follow the cluster (the daemon).",
        discussion: """
            The rules stay when the daemon stops, and the next one takes them over without \
            touching a connection.
            """
    )

    @Flag(help: "Program the kernel once and exit; the rules stay.")
    var once = false

    @Flag(help: "Print what would be programmed (as render -o nft does) and touch nothing.")
    var dryRun = false

    @Option(
        name: [.customShort("v"), .customLong("v")],
        help: "Log verbosity: 0, or 2 and more for every sync."
    )
    var verbosity = 0

    @OptionGroup var mode: ModeOptions
    @OptionGroup var source: SourceOptions
    @OptionGroup var node: NodeOptions

    func run() async throws {
        let configuration = try node.configuration(mode.mode)
        if dryRun {
            let snapshot = try Snapshot(
                try await readObjects(source, node),
                configuration,
                endpointsFrom: source.endpointsSource
            )
            for diagnostic in snapshot.diagnostics { report("warning: \(diagnostic)") }
            if mode.mode == .ipvs {
                for line in ipvsLines(snapshot, mode.ipvs) { print("# \(line)") }
            }
            return print(nftText(snapshot), terminator: "")
        }
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        var logger = Logger(label: "needletail")
        logger.logLevel = verbosity >= 2 ? .debug : .info
        let dataplane = try OpenDataplane(mode, logger)
        if once {
            try await programOnce(configuration, dataplane, logger)
        } else {
            try await follow(configuration, dataplane, logger)
        }
    }

    private func programOnce(
        _ configuration: NodeConfiguration,
        _ dataplane: OpenDataplane,
        _ logger: Logger
    ) async throws {
        let store = ClusterStore(
            configuration,
            endpointsFrom: source.endpointsSource,
            awaiting: []
        )
        await store.replaceAll(try await readObjects(source, node))
        let syncer = Syncer(
            store: store,
            dataplane: dataplane.active,
            interfaceAddresses: try interfaceAddresses(configuration),
            logger: logger
        )
        do {
            _ = try await syncer.sync()
        } catch {
            throw Failure("\(error)")
        }
    }

    private func follow(
        _ configuration: NodeConfiguration,
        _ dataplane: OpenDataplane,
        _ logger: Logger
    ) async throws {
        let store = ClusterStore(
            configuration,
            endpointsFrom: source.endpointsSource,
            awaiting: Set(ClusterStore.List.allCases)
        )
        let syncer = Syncer(
            store: store,
            dataplane: dataplane.active,
            interfaceAddresses: try interfaceAddresses(configuration),
            logger: logger
        )
        let services: [any Service] =
            [
                SyncLoop(
                    syncer: syncer,
                    store: store,
                    dataplane: dataplane.nftables,
                    followsInterfaces: configuration.followsInterfaces,
                    logger: logger
                )
            ] + (try feeds(configuration, store, logger))
        logger.info(
            "needletail \(Needletail.version)",
            metadata: ["mode": "\(mode.mode.rawValue)", "node": "\(configuration.nodeName)"]
        )
        // At debug level the group logs its services with all that they hold.
        var groupLogger = logger
        groupLogger.logLevel = .warning
        try await ServiceGroup(
            configuration: .init(
                services: services,
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: groupLogger
            )
        ).run()
    }
}

extension Run {
    /// What brings the objects, and what tells the cluster of us.
    private func feeds(
        _ configuration: NodeConfiguration,
        _ store: ClusterStore,
        _ logger: Logger
    ) throws -> [any Service] {
        if let path = source.manifests {
            return [try ManifestFeed(path: path, store: store, logger: logger)]
        }
        let client = try source.client()
        let nodeName = configuration.nodeName
        let recorder = EventRecorder(client, EventReporter(instance: nodeName), logger: logger)
        recorder.record(
            EventNotice(
                .normal,
                reason: "Starting",
                action: "StartKubeProxy",
                regarding: .node(nodeName),
                note: "needletail \(Needletail.version) in mode \(mode.mode.rawValue)"
            )
        )
        let feed = APIFeed(
            client,
            source.endpointsSource,
            nodeName: nodeName,
            store: store,
            logger: logger
        )
        return [feed, EventFeed(recorder: recorder)]
    }
}

/// Rings the syncer for everything that it must look at.
struct SyncLoop: Service {
    let syncer: Syncer
    let store: ClusterStore
    let dataplane: NFTablesDataplane
    let followsInterfaces: Bool
    let logger: Logger

    func run() async throws {
        let foreign = await dataplane.foreignChanges()
        let addressChanges =
            followsInterfaces
            ? try NetlinkSubscription(.route, groups: InterfaceAddresses.groups).changes {
                InterfaceAddresses.isChange($0, except: VirtualDevice.name) ? () : nil
            } : nil
        await withDiscardingTaskGroup { group in
            group.addTask { await syncer.run() }
            group.addTask { await syncer.maintain() }
            group.addTask {
                for await _ in store.changes { await syncer.onClusterChange() }
            }
            group.addTask {
                for await _ in foreign {
                    logger.warning("another program changed needletail's tables; repairing")
                    await syncer.onForeignChange()
                }
            }
            if let addressChanges {
                group.addTask {
                    for await _ in addressChanges {
                        if let addresses = try? InterfaceAddresses.read(except: VirtualDevice.name)
                        {
                            await syncer.onInterfaceAddresses(addresses)
                        }
                    }
                }
            }
            try? await gracefulShutdown()
            group.cancelAll()
        }
    }
}

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
