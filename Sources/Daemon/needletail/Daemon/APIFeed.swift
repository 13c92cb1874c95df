internal import Reconciler
internal import Configuration
internal import KubernetesClient
internal import KubernetesModel
internal import Logging
internal import PlanCompiler
internal import ServiceLifecycle

/// Feeds the reconciler from an API server.
struct APIFeed: ServiceLifecycle.Service {
    private let client: APIClient
    private let nodeName: String
    private let endpointsSource: EndpointsSource
    private let reconciler: Reconciler
    private let view: APIView
    /// How long the first sync waits for each list that is not essential.
    private let patience: [ObjectList: Duration]
    /// Yields when the client has new credentials; then everything is listed again.
    private let renewals: AsyncStream<Void>
    private let logger: Logger

    /// - Parameters:
    /// - needsNode: whether to wait for the Node as long as kube-proxy does (30 s instead of 2 s)
    /// - renewals: yields when the client has new credentials
    init(
        _ client: APIClient,
        _ endpointsSource: EndpointsSource,
        nodeName: String,
        needsNode: Bool,
        reconciler: Reconciler,
        view: APIView,
        renewals: AsyncStream<Void>,
        logger: Logger
    ) {
        self.view = view
        self.renewals = renewals
        patience = [.serviceCIDRs: .seconds(2), .nodes: .seconds(needsNode ? 30 : 2)]
        self.client = client
        self.endpointsSource = endpointsSource
        self.nodeName = nodeName
        self.reconciler = reconciler
        self.logger = logger
        if client.credentials.skipsVerification {
            logger.warning(
                "the API server's certificate is not verified (insecure-skip-tls-verify)"
            )
        }
    }

    func run() async throws {
        await withDiscardingTaskGroup { group in
            for (list, duration) in patience {
                group.addTask {
                    guard (try? await Task.sleep(for: duration)) != nil else { return }
                    await waive(list, "did not arrive within \(duration)")
                }
            }
            group.addTask {
                var renewals = renewals.makeAsyncIterator()
                while !Task.isCancelled {
                    await withTaskGroup(of: Void.self) { generation in
                        generation.addTask { await followAll() }
                        _ = await renewals.next()
                        generation.cancelAll()
                    }
                }
            }
            try? await gracefulShutdown()
            group.cancelAll()
        }
    }

    private func followAll() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await followServices() }
            group.addTask {
                switch endpointsSource {
                case .endpointSlices: await followEndpointSlices()
                case .endpoints: await followEndpoints()
                }
            }
            group.addTask { await followNode() }
            group.addTask { await followServiceCIDRs() }
        }
    }

    private func followServices() async {
        await follow(KubernetesModel.Service.self, .services) { state, event in
            switch event {
            case .replaced(let list, let unreadable):
                state.replaceServices(list, keeping: unreadable)
            case .set(let service): state.set(service)
            case .removed(let name): state.removeService(name)
            case .refused: break
            }
        }
    }

    private func followEndpointSlices() async {
        await follow(EndpointSlice.self, .endpoints) { state, event in
            switch event {
            case .replaced(let list, let unreadable):
                state.replaceEndpointSlices(list, keeping: unreadable)
            case .set(let slice): state.set(slice)
            case .removed(let name): state.removeEndpointSlice(name)
            case .refused: break
            }
        }
    }

    private func followEndpoints() async {
        await follow(Endpoints.self, .endpoints) { state, event in
            switch event {
            case .replaced(let list, let unreadable):
                state.replaceEndpoints(list, keeping: unreadable)
            case .set(let endpoints): state.set(endpoints)
            case .removed(let name): state.removeEndpoints(name)
            case .refused: break
            }
        }
    }

    private func followNode() async {
        await follow(Node.self, .nodes) { state, event in
            switch event {
            case .replaced(let list, let unreadable):
                if unreadable.isEmpty { state.set(list.last) }
            case .set(let node): state.set(node)
            case .removed: state.set(Node?.none)
            case .refused: break
            }
        }
    }

    private func followServiceCIDRs() async {
        await follow(ServiceCIDR.self, .serviceCIDRs, isOptional: true) { state, event in
            switch event {
            case .replaced(let list, let unreadable):
                state.replaceServiceCIDRs(list, keeping: unreadable)
            case .set(let cidr): state.set(cidr)
            case .removed(let name): state.removeServiceCIDR(name.name)
            case .refused: break
            }
        }
    }

    private func follow<Object: Resource>(
        _: Object.Type,
        _ list: ObjectList,
        isOptional: Bool = false,
        _ apply: @escaping @Sendable (inout ClusterState, Informer<Object>.Event) -> Void
    ) async {
        let informer = Informer<Object>(
            client,
            nodeName: nodeName,
            isOptional: isOptional,
            view: view,
            logger: logger
        )
        await informer.run { event, version in
            let arrived = ContinuousClock.now
            switch event {
            case .replaced:
                let origin = ChangeOrigin(version: version, isList: true, arrived: arrived)
                await reconciler.update(completing: list, from: origin) { apply(&$0, event) }
            case .set, .removed:
                let origin = ChangeOrigin(version: version, arrived: arrived)
                await reconciler.update(from: origin) { apply(&$0, event) }
            case .refused: await waive(list, "is refused by the API server")
            }
        }
    }

    private func waive(_ list: ObjectList, _ reason: String) async {
        guard await reconciler.waive(list) else { return }
        logger.warning("the list of \(list.rawValue) \(reason); continuing without it for now")
    }
}

/// Sends the events that the other parts record.
struct EventFeed: ServiceLifecycle.Service {
    let recorder: EventRecorder

    func run() async throws { await cancelWhenGracefulShutdown { await recorder.run() } }
}

/// Reads all objects once, from the source that the options name; any error is final.
func readObjects(
    _ source: SourceOptions,
    _ configuration: KubeProxyConfiguration,
    _ apiServers: APIServerAddresses
) async throws -> [KubernetesObject] {
    if let path = source.manifests { return try readManifests(path) }
    let client = try source.client(configuration) { apiServers.add($0) }
    let name = try configuration.nodeConfiguration().nodeName
    let logger = DaemonLog.ofCommand
    func list<Object: Resource>(
        _ make: (Object) -> KubernetesObject,
        isOptional: Bool = false
    ) async throws(ClientError) -> [KubernetesObject] {
        try await Informer<Object>(
            client,
            nodeName: name,
            isOptional: isOptional,
            logger: logger
        ).list().map(make)
    }
    do throws(ClientError) {
        let endpoints =
            switch configuration.endpoints {
            case .endpointSlices: try await list(KubernetesObject.endpointSlice)
            case .endpoints: try await list(KubernetesObject.endpoints)
            }
        return try await list(KubernetesObject.service) + endpoints
            + list(KubernetesObject.node)
            + list(KubernetesObject.serviceCIDR, isOptional: true)
    } catch {
        throw Failure("\(error)")
    }
}
