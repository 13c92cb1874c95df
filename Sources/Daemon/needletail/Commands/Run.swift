internal import ArgumentParser
internal import Backend
internal import CNeedleShim
internal import Configuration
internal import Glibc
internal import Logging
internal import Netlink
internal import NetworkTypes
internal import PlanCompiler
internal import Reconciler

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Program this node and follow the cluster (the daemon).",
        usage: "needletail run [<options>] [<flags of the configuration>]",
        discussion: """
            The rules stay when the daemon stops, and the next daemon takes them over without \
            disturbing connections.
            """
    )

    @Flag(help: "Program the kernel once and exit; the rules stay.")
    var once = false

    @Flag(help: "Print what would be programmed (like render -o nft) and change nothing.")
    var dryRun = false

    @Flag(help: "Do the work that needs more than NET_ADMIN (sysctls, modules) and exit.")
    var initOnly = false

    @Flag(help: "Remove all rules of needletail and kube-proxy (cleanup --kube-proxy) and exit.")
    var cleanup = false

    @Option(
        help: "Write the effective configuration to a new file, never through a link, and exit."
    )
    var writeConfigTo: String?

    @OptionGroup var planning: PlanningOptions
    @OptionGroup var source: SourceOptions

    func run() async throws {
        needle_keep_memory_together()
        let effective = try planning.effective(source)
        let configuration = effective.value
        if cleanup, writeConfigTo == nil {
            return try await Cleanup.perform(kubeProxy: true, dryRun: dryRun)
        }
        if writeConfigTo != nil || dryRun {
            for notice in effective.notices { report("warning: \(notice)") }
        }
        if let writeConfigTo { return try NewFile(writeConfigTo).write(configuration.yaml) }
        if dryRun { return try await printRules(configuration) }
        let logger = DaemonLog.start(configuration.logging)
        for notice in effective.notices { logger.notice("\(notice)") }
        if let notice = configuration.nodePortNotice { logger.notice("\(notice)") }
        let preparation = NodePreparation(configuration: configuration)
        if initOnly { return preparation.apply(logger, isForLater: true) }
        if once {
            try await programOnce(configuration, logger)
        } else {
            preparation.apply(logger, isForLater: false)
            try await ProxyDaemon(
                configuration,
                source,
                file: planning.config,
                planning.flags(),
                logger
            ).run()
        }
    }

    private func printRules(_ configuration: KubeProxyConfiguration) async throws {
        let snapshot = try await Snapshot(source, configuration)
        for diagnostic in snapshot.allDiagnostics { report("warning: \(diagnostic)") }
        if configuration.proxyMode == .ipvs {
            for line in Mode.ipvsLines(snapshot, configuration) { print("# \(line.printable)") }
        }
        print(Mode.nftText(snapshot, configuration), terminator: "")
    }

    private func programOnce(_ configuration: KubeProxyConfiguration, _ logger: Logger) async throws
    {
        let lock = try Turn.forCommand()
        defer { withExtendedLifetime(lock) {} }
        let node = try configuration.nodeConfiguration()
        let apiServers = APIServerAddresses()
        let addresses = try interfaceAddresses(node)
        let objects = try await readObjects(source, configuration, apiServers)
        do throws(CommitError) {
            let reconciler = Reconciler(
                Cluster(
                    node,
                    endpointsFrom: configuration.endpoints,
                    listeningSockets: ListeningSockets.read
                ),
                awaiting: [],
                backend: try Mode.open(configuration, logger),
                interfaceAddresses: addresses,
                apiServers: apiServers,
                observer: NoObserver(),
                warnings: WarningBudget(limit: configuration.needletail.namespaceWarnings),
                logger: logger
            )
            await reconciler.replaceAll(objects)
            try await reconciler.sync()
        } catch {
            throw Failure("\(error)")
        }
    }
}

/// An observer that does nothing, for a single sync whose outcome the command itself reports.
struct NoObserver: SyncObserver {
    func changesQueued() {}
    func synced(_ record: SyncRecord) {}
    func failed(_ failure: SyncFailure) {}
    func foreignChange(_ object: ForeignObject, repairAfter delay: Duration) {}
}
