internal import Backend
internal import Configuration
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
internal import UnixSignals

/// The daemon: its parts and how they hang together.
struct ProxyDaemon {
    private let configuration: KubeProxyConfiguration
    private let source: SourceOptions
    private let logger: Logger
    private let backend: any Backend
    private let reconciler: Reconciler
    private let monitor: ProxyMonitor
    private let server: HTTPServer
    private let forwarder: LocalhostForwarder
    private let nodeName: String
    private let needsNode: Bool
    /// Nil: the objects come from manifests, and nobody can be told.
    private let client: APIClient?
    private let recorder: EventRecorder?
    private let view = APIView()
    private let watch: ConfigurationWatch?
    private let kubeconfigWatch: KubeconfigWatch?
    private let renewals: AsyncStream<Void>
    /// Yields after each sync.
    private let synced: AsyncStream<Void>
    /// Yields when the kernel's counts are to be read.
    private let looks: AsyncStream<Void>
    private let look: AsyncStream<Void>.Continuation
    /// Yields after each sync of everything.
    private let fullySynced: AsyncStream<Void>
    /// Yields when chains of others may have changed what is forwarded.
    private let forwarding: (changes: AsyncStream<Void>, bell: AsyncStream<Void>.Continuation)
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
        nodeName = node.nodeName
        needsNode = node.needsNode
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
        client =
            source.manifests != nil
            ? nil
            : try source.client(configuration) { request in
                metrics.requests.add(1, request.code, request.method, request.host)
                let seconds = request.duration.seconds
                metrics.requestDuration.observe(seconds, request.method, request.host)
                apiServers.add(request)
            }
        let recorder = client.map {
            EventRecorder($0, EventReporter(instance: node.nodeName), logger: logger)
        }
        self.recorder = recorder
        let server = HTTPServer(
            maximumConnections: DescriptorLimit.connections(of: DescriptorLimit.raise())
        )
        self.server = server
        let tell: NodeNews = { recorder?.record($0, node: node.nodeName) }
        self.tell = tell
        let forwarder = LocalhostForwarder(
            onFailure: { service, note in
                recorder?.record(
                    "FailedToListenOnLocalhost",
                    "Listen",
                    service: ObjectName(service),
                    note
                )
            },
            logger: logger
        )
        self.forwarder = forwarder
        let late = Late<ServiceHealth>()
        let (synced, bell) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.synced = synced
        let (looks, look) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        (self.looks, self.look) = (looks, look)
        let (fullySynced, fullBell) = AsyncStream<Void>.makeStream(
            bufferingPolicy: .bufferingNewest(1)
        )
        self.fullySynced = fullySynced
        let (forwardingChanges, forwardingBell) = AsyncStream<Void>.makeStream(
            bufferingPolicy: .bufferingNewest(1)
        )
        forwarding = (forwardingChanges, forwardingBell)
        let monitor = ProxyMonitor(
            metrics,
            families: backend.families,
            patience: configuration.patience,
            logger: logger,
            announce: { tell(NodeEvent(.warning, $0, $1, $2)) },
            onSynced: { record in
                late.value?.update(record.healthChecks, addresses: record.nodePortAddresses)
                for (service, diagnostic) in record.news {
                    recorder?.record(diagnostic, of: service)
                }
                forwarder.update(record.forwardedPorts)
                bell.yield()
                look.yield()
                if record.isFull { fullBell.yield() }
            }
        )
        self.monitor = monitor
        late.value = ServiceHealth(
            server,
            isProxyHealthy: { monitor.isHealthy },
            onFailure: { service, error in
                let reason = "FailedToStartServiceHealthcheck"
                recorder?.record(reason, "Listen", service: ObjectName(service), "\(error)")
            },
            logger: logger
        )
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
            observer: monitor,
            logger: logger
        )
        self.reconciler = reconciler
        let (renewals, renewed) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.renewals = renewals
        kubeconfigWatch = try client.flatMap { client in
            let files = configuration.clientConnection.kubeconfig
            return files.isEmpty
                ? nil
                : try KubeconfigWatch(files, source, client, renewed, logger: logger, tell: tell)
        }
        watch =
            if let file {
                try ConfigurationWatch(
                    file,
                    flags,
                    running: configuration,
                    reconciler: reconciler,
                    logger: logger,
                    tell: tell
                )
            } else { nil }
    }

    func run() async throws {
        logger.info(
            "needletail \(Needletail.version)",
            metadata: ["mode": "\(configuration.proxyMode.rawValue)", "node": "\(nodeName)"]
        )
        recorder?.record(
            NodeEvent(
                .normal,
                "Starting",
                "StartKubeProxy",
                "needletail \(Needletail.version) in mode \(configuration.proxyMode.rawValue)"
            ),
            node: nodeName
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
        server.stop()
        forwarder.stop()
    }

    private func services() throws -> [any ServiceLifecycle.Service] {
        let endpoints = ProxyEndpoints(
            monitor: monitor,
            reconciler: reconciler,
            forwarder: forwarder,
            configuration: configuration,
            nodeName: nodeName,
            hasNode: client != nil,
            view: view,
            lookAgain: { [look] in look.yield() }
        )
        var services: [any ServiceLifecycle.Service] = [
            SyncLoop(
                reconciler: reconciler,
                backend: backend,
                forwarding: forwarding.bell,
                logger: logger
            ),
            KernelFigures(
                backend: backend,
                metrics: monitor.metrics,
                serviceMetrics: configuration.needletail.serviceMetrics,
                rings: looks
            ),
            ForwardingWatch(
                reconciler: reconciler,
                synced: fullySynced,
                backend: backend,
                changes: forwarding.changes,
                monitor: monitor
            ),
            Listening(
                server: server,
                addresses: endpoints.servers,
                isFatal: configuration.bindAddressHardFail,
                recorder: recorder,
                nodeName: nodeName,
                logger: logger
            ),
        ]
        if let watch { services.append(watch) }
        if let kubeconfigWatch { services.append(kubeconfigWatch) }
        if configuration.needletail.takeover {
            services.append(
                Takeover(
                    reconciler: reconciler,
                    synced: synced,
                    logger: logger,
                    tell: tell
                )
            )
        }
        if let path = source.manifests {
            services.append(try ManifestFeed(path: path, reconciler: reconciler, logger: logger))
        } else if let client, let recorder {
            services.append(
                APIFeed(
                    client,
                    configuration.endpoints,
                    nodeName: nodeName,
                    needsNode: needsNode,
                    reconciler: reconciler,
                    view: view,
                    renewals: renewals,
                    logger: logger
                )
            )
            services.append(EventFeed(recorder: recorder))
        }
        return services
    }
}

/// An event about this node.
struct NodeEvent: Sendable {
    let severity: EventNotice.Severity
    let reason: String
    let action: String
    let note: String

    init(_ severity: EventNotice.Severity, _ reason: String, _ action: String, _ note: String) {
        (self.severity, self.reason, self.action, self.note) = (severity, reason, action, note)
    }
}

typealias NodeNews = @Sendable (NodeEvent) -> Void

extension EventRecorder {
    func record(_ event: NodeEvent, node: String) {
        record(
            EventNotice(
                event.severity,
                reason: event.reason,
                action: event.action,
                regarding: .node(node),
                note: event.note
            )
        )
    }

    fileprivate func record(_ diagnostic: Diagnostic, of service: ObjectName) {
        guard let event = diagnostic.event else { return }
        record(event.rawValue, "Program", service: service, "\(diagnostic.problem)")
    }

    fileprivate func record(
        _ reason: String,
        _ action: String,
        service: ObjectName,
        _ note: String
    ) {
        record(
            EventNotice(
                .warning,
                reason: reason,
                action: action,
                regarding: ObjectReference(
                    kind: "Service",
                    namespace: service.namespace,
                    name: service.name
                ),
                note: note
            )
        )
    }
}

extension APIServerAddresses {
    /// Takes where a request went.
    func add(_ request: APIClient.RequestRecord) {
        guard let peer = request.peer, let address = IPAddress(peer.address) else { return }
        add(address, peer.port)
    }
}
