internal import Backend
internal import Configuration
internal import Journal
internal import KubernetesClient
internal import KubernetesModel
internal import LocalhostForwarding
internal import Logging
internal import Netlink
internal import NetworkTypes
internal import Observability
internal import PlanCompiler
internal import ServiceLifecycle
internal import Reconciler
internal import Threads
internal import UnixSignals

/// The daemon: its parts and how they hang together.
struct ProxyDaemon {
    private let configuration: KubeProxyConfiguration
    private let source: SourceOptions
    private let logger: Logger
    private let node: NodeConfiguration
    private let backend: any Backend
    private let reconciler: Reconciler
    private let outlets: ProxyOutlets
    /// Nil: the objects come from manifests, and nobody can be told.
    private let client: APIClient?
    private let recorder: EventRecorder?
    private let view = APIView()
    private let journal = Journal()
    private let watch: ConfigurationWatch?
    private let kubeconfigWatch: KubeconfigWatch?
    /// Rings when the client's credentials have changed.
    private let renewals = Bell()
    /// Rings when chains of others may have changed what is forwarded.
    private let forwarding = Bell()
    private let tell: NodeNews

    /// - Parameter file: what `--config` names, to be watched
    init(
        _ configuration: KubeProxyConfiguration,
        _ source: SourceOptions,
        file: String?,
        _ flags: GivenFlags,
        _ logger: Logger
    ) throws {
        (self.configuration, self.source, self.logger) = (configuration, source, logger)
        let node = try configuration.nodeConfiguration()
        self.node = node
        do throws(CommitError) {
            backend = try Mode.open(configuration, logger)
        } catch {
            throw Failure("\(error)")
        }
        let apiServers = APIServerAddresses()
        let metrics = ProxyMetrics(
            version: Needletail.version,
            mode: configuration.proxyMode.rawValue
        )
        client = try Self.client(configuration, source, metrics, apiServers)
        let recorder = client.map {
            EventRecorder($0, EventReporter(instance: node.nodeName), logger: logger)
        }
        self.recorder = recorder
        let tell: NodeNews = { recorder?.record($0, node: node.nodeName) }
        self.tell = tell
        outlets = ProxyOutlets(configuration, metrics, backend, recorder, tell: tell, logger)
        let reconciler = Reconciler(
            Cluster(
                node,
                endpointsFrom: configuration.endpoints,
                listeningSockets: ListeningSockets.read
            ),
            awaiting: Set(ObjectList.allCases),
            backend: backend,
            interfaceAddresses: try readInterfaceAddresses(),
            apiServers: apiServers,
            observer: SyncObservers(journal, outlets.monitor),
            warnings: WarningBudget(limit: configuration.needletail.namespaceWarnings),
            logger: logger
        )
        self.reconciler = reconciler
        let files = configuration.clientConnection.kubeconfig
        kubeconfigWatch = try client.flatMap { [renewals] client in
            try KubeconfigWatch(files, source, client, renewals, logger: logger, tell: tell)
        }
        watch = try file.map {
            try ConfigurationWatch(
                $0,
                flags,
                running: configuration,
                reconciler: reconciler,
                logger: logger,
                tell: tell
            )
        }
    }

    /// Nil: the objects come from manifests.
    private static func client(
        _ configuration: KubeProxyConfiguration,
        _ source: SourceOptions,
        _ metrics: ProxyMetrics,
        _ apiServers: APIServerAddresses
    ) throws -> APIClient? {
        guard source.manifests == nil else { return nil }
        return try source.client(configuration) { request in
            metrics.requests.add(1, request.code, request.method, request.host)
            let seconds = request.duration.seconds
            metrics.requestDuration.observe(seconds, request.method, request.host)
            apiServers.add(request)
        }
    }

    func run() async throws {
        logger.info(
            "needletail \(Needletail.version)",
            metadata: ["mode": "\(configuration.proxyMode.rawValue)", "node": "\(node.nodeName)"]
        )
        recorder?.record(
            NodeEvent(
                .normal,
                "Starting",
                "StartKubeProxy",
                "needletail \(Needletail.version) in mode \(configuration.proxyMode.rawValue)"
            ),
            node: node.nodeName
        )
        // At debug level the group logs its services with all that they hold.
        var groupLogger = logger
        groupLogger.logLevel = .warning
        try await ServiceGroup(
            configuration: .init(
                services: try services(),
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: groupLogger
            )
        ).run()
        outlets.server.stop()
        outlets.forwarder.stop()
    }

    private func services() throws -> [any ServiceLifecycle.Service] {
        let endpoints = ProxyEndpoints(
            monitor: outlets.monitor,
            reconciler: reconciler,
            forwarder: outlets.forwarder,
            configuration: configuration,
            nodeName: node.nodeName,
            hasNode: client != nil,
            view: view,
            traffic: client?.traffic,
            journal: journal,
            lookAgain: outlets.look.ring
        )
        var services: [any ServiceLifecycle.Service] = [
            SyncLoop(
                reconciler: reconciler,
                backend: backend,
                turn: Turn(outlets.monitor, tell: tell, logger),
                forwarding: forwarding,
                logger: logger
            ),
            KernelFigures(
                backend: backend,
                metrics: outlets.monitor.metrics,
                serviceMetrics: configuration.needletail.serviceMetrics,
                rings: outlets.look.rings
            ),
            ForwardingWatch(
                reconciler: reconciler,
                synced: outlets.fullySynced.rings,
                backend: backend,
                changes: forwarding.rings,
                monitor: outlets.monitor,
                masqueradesAll: configuration.masqueradesAll
            ),
            Listening(
                server: outlets.server,
                addresses: endpoints.servers,
                isFatal: configuration.bindAddressHardFail,
                isStandby: { [outlets] in outlets.monitor.isStandby },
                recorder: recorder,
                nodeName: node.nodeName,
                logger: logger
            ),
        ]
        if let watch { services.append(watch) }
        if let kubeconfigWatch { services.append(kubeconfigWatch) }
        if configuration.needletail.takeover {
            services.append(
                Takeover(
                    reconciler: reconciler,
                    synced: outlets.synced.rings,
                    logger: logger,
                    tell: tell
                )
            )
        }
        return services + (try feeds())
    }

    /// Where the objects come from, and where events go.
    private func feeds() throws -> [any ServiceLifecycle.Service] {
        if let path = source.manifests {
            return [try ManifestFeed(path: path, reconciler: reconciler, logger: logger)]
        }
        guard let client, let recorder else { return [] }
        return [
            APIFeed(
                client,
                configuration.endpoints,
                nodeName: node.nodeName,
                needsNode: node.needsNode,
                reconciler: reconciler,
                view: view,
                renewals: renewals.rings,
                logger: logger
            ), EventFeed(recorder: recorder),
        ]
    }
}

extension APIServerAddresses {
    /// Takes where a request went.
    func add(_ request: APIClient.RequestRecord) {
        guard let peer = request.peer, let address = IPAddress(peer.address) else { return }
        add(address, peer.port)
    }
}
