internal import ClusterStore
internal import Configuration
internal import KubernetesClient
internal import KubernetesModel
internal import Logging
internal import PlanCompiler
internal import ServiceLifecycle

/// Feeds the store from an API server.
struct APIFeed: ServiceLifecycle.Service {
    private let client: APIClient
    private let nodeName: String
    private let endpointsSource: EndpointsSource
    private let store: ClusterStore
    private let age: ViewAge
    private let logger: Logger

    init(
        _ client: APIClient,
        _ endpointsSource: EndpointsSource,
        nodeName: String,
        store: ClusterStore,
        age: ViewAge,
        logger: Logger
    ) {
        self.age = age
        self.client = client
        self.endpointsSource = endpointsSource
        self.nodeName = nodeName
        self.store = store
        self.logger = logger
        if client.credentials.skipsVerification {
            logger.warning(
                "the API server's certificate is not verified (insecure-skip-tls-verify)"
            )
        }
    }

    func run() async throws {
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
            try? await gracefulShutdown()
            group.cancelAll()
        }
    }

    private func followServices() async {
        await follow(KubernetesModel.Service.self, .services) { state, event in
            switch event {
            case .replaced(let list, let unreadable):
                state.replaceServices(list, keeping: unreadable)
            case .set(let service): state.set(service)
            case .removed(let service): state.removeService(service.name)
            }
        }
    }

    private func followEndpointSlices() async {
        await follow(EndpointSlice.self, .endpoints) { state, event in
            switch event {
            case .replaced(let list, let unreadable):
                state.replaceEndpointSlices(list, keeping: unreadable)
            case .set(let slice): state.set(slice)
            case .removed(let slice): state.removeEndpointSlice(slice.name)
            }
        }
    }

    private func followEndpoints() async {
        await follow(Endpoints.self, .endpoints) { state, event in
            switch event {
            case .replaced(let list, let unreadable):
                state.replaceEndpoints(list, keeping: unreadable)
            case .set(let endpoints): state.set(endpoints)
            case .removed(let endpoints): state.removeEndpoints(endpoints.name)
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
            }
        }
    }

    private func followServiceCIDRs() async {
        await follow(ServiceCIDR.self, .serviceCIDRs, isOptional: true) { state, event in
            switch event {
            case .replaced(let list, let unreadable):
                state.replaceServiceCIDRs(list, keeping: unreadable)
            case .set(let cidr): state.set(cidr)
            case .removed(let cidr): state.removeServiceCIDR(cidr.name)
            }
        }
    }

    private func follow<Object: Resource>(
        _: Object.Type,
        _ list: ClusterStore.List,
        isOptional: Bool = false,
        _ apply: @escaping @Sendable (inout ClusterState, Informer<Object>.Event) -> Void
    ) async {
        let informer = Informer<Object>(
            client,
            nodeName: nodeName,
            isOptional: isOptional,
            age: age,
            logger: logger
        )
        await informer.run { event in
            let completed: ClusterStore.List? = if case .replaced = event { list } else { nil }
            await store.update(completing: completed) { apply(&$0, event) }
        }
    }
}

/// Sends the events that the other parts record.
struct EventFeed: ServiceLifecycle.Service {
    let recorder: EventRecorder

    func run() async throws { await cancelWhenGracefulShutdown { await recorder.run() } }
}

/// Reads everything once, from where the options say; any error is final.
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
