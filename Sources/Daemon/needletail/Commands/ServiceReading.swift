internal import Configuration
internal import KubernetesClient
internal import KubernetesModel
internal import NetworkTypes
internal import PlanCompiler
internal import Reconciler

/// Reads what an explanation depends on, and no more of the cluster than it must.
struct ServiceReading {
    struct Result {
        var objects: [KubernetesObject] = []
        /// Endpoints of this node, of whichever Services were read.
        var localEndpoints: Set<IPAddress> = []
    }

    let source: SourceOptions
    let effective: KubeProxyConfiguration
    let apiServers: APIServerAddresses
    let interfaceAddresses: [IPAddress]

    func read(_ wanted: Wanted) async throws -> Result {
        if let path = source.manifests { return try choose(wanted, try readManifests(path)) }
        do {
            return try await ask(wanted)
        } catch let error as ClientError {
            throw Failure("\(error)")
        }
    }

    private func choice(_ wanted: Wanted, _ node: Node?) throws -> ServiceChoice {
        let configuration = try effective.nodeConfiguration()
        let view = configuration.view(node: node, interfaceAddresses: interfaceAddresses)
        return ServiceChoice(wanted: wanted, nodeAddresses: view.addresses)
    }

    // MARK: Manifests

    /// Manifests are read as a whole; what the rest of them says is forgotten.
    private func choose(_ wanted: Wanted, _ all: [KubernetesObject]) throws -> Result {
        let nodeName = try effective.nodeConfiguration().nodeName
        var services: [Service] = []
        var node: Node?
        for object in all {
            switch object {
            case .service(let service): services.append(service)
            case .node(let other) where other.name == nodeName: node = other
            default: break
            }
        }
        let names = try choice(wanted, node).names(among: services)
            .union([ClusterState.apiService])
        var result = Result()
        for object in all {
            result.note(object, nodeName)
            switch object {
            case .service(let service) where !names.contains(service.name): continue
            case .endpointSlice(let slice) where !(slice.service.map(names.contains) ?? false):
                continue
            case .endpoints(let endpoints) where !names.contains(endpoints.name): continue
            default: result.objects.append(object)
            }
        }
        return result
    }

    // MARK: An API server

    private func ask(_ wanted: Wanted) async throws -> Result {
        let server = Server(
            client: try source.client(effective) { apiServers.add($0) },
            nodeName: try effective.nodeConfiguration().nodeName,
            endpoints: effective.endpoints
        )
        // What can be asked for at once is: each answer takes its time on the way.
        var names: Set = [ClusterState.apiService]
        if case .service(let name) = wanted { names.insert(ObjectName(name)) }
        let early = names
        async let blocks = server.list(ObjectSelection<ServiceCIDR>(), isOptional: true)
        async let known = server.endpoints(of: early)
        async let first = server.list(Self.first(wanted))
        let node = try await server.list(ObjectSelection<Node>()).first
        let services = try await services(try choice(wanted, node), try await first, server)
        var result = Result()
        let others = Set(services.map(\.name)).subtracting(early)
        result.objects = try await server.endpoints(of: others) + known
        for object in result.objects { result.note(object, server.nodeName) }
        result.objects += services.map(KubernetesObject.service)
        result.objects += try await blocks.map(KubernetesObject.serviceCIDR)
        if let node { result.objects.append(.node(node)) }
        return result
    }

    /// The Service that is named, or those with the address as their cluster IP: usually that is all.
    private static func first(_ wanted: Wanted) -> ObjectSelection<Service> {
        var part = ObjectSelection<Service>()
        switch wanted {
        case .service(let text):
            let name = ObjectName(text)
            (part.namespace, part.fields) = (name.namespace, "metadata.name=\(name.name)")
        case .frontend(let address, _, _): part.fields = "spec.clusterIP=\(address)"
        }
        return part
    }

    /// The Services that are wanted, and their rivals.
    ///
    /// What the API server has allotted, nobody else gets, so most Services can be read alone.
    private func services(
        _ choice: ServiceChoice,
        _ first: [Service],
        _ server: Server
    ) async throws -> [Service] {
        let chosen = first.filter(choice.isWanted)
        var all = ObjectSelection<Service>()
        switch choice.wanted {
        case .service:
            guard chosen.contains(where: { !$0.externalAddresses.isEmpty }) else { return chosen }
            all.isWanted = choice.contest(chosen).includes
        case .frontend(let address, let port, _):
            let isFound = chosen.contains { service in
                service.clusterIPs.contains(address)
                    && (port.map { port in service.ports.contains { $0.port == port } } ?? true)
            }
            guard !isFound else { return chosen }
            all.isWanted = choice.isWanted
        }
        return try await server.list(all)
    }
}

extension ServiceReading.Result {
    fileprivate mutating func note(_ object: KubernetesObject, _ nodeName: String) {
        let slices: [EndpointSlice]
        switch object {
        case .endpointSlice(let slice): slices = [slice]
        case .endpoints(let endpoints): slices = endpoints.slices
        case .service, .node, .serviceCIDR: return
        }
        for endpoint in slices.lazy.flatMap(\.endpoints) where endpoint.place.nodeName == nodeName {
            localEndpoints.insert(endpoint.address)
        }
    }
}

/// An API server that is asked for parts of lists.
private struct Server {
    let client: APIClient
    let nodeName: String
    let endpoints: EndpointsSource

    func list<Object: Resource>(
        _ part: ObjectSelection<Object>,
        isOptional: Bool = false
    ) async throws(ClientError) -> [Object] {
        try await Informer<Object>(
            client,
            nodeName: nodeName,
            isOptional: isOptional,
            logger: DaemonLog.ofCommand
        ).list(of: part)
    }

    /// More Services than that are not asked for one by one.
    private static let mostNames = 8

    func endpoints(of services: Set<ObjectName>) async throws(ClientError) -> [KubernetesObject] {
        guard services.count <= Self.mostNames else { return try await everyEndpoint(services) }
        let answers = await withTaskGroup(of: Result<[KubernetesObject], ClientError>.self) {
            group in
            for service in services {
                group.addTask {
                    do throws(ClientError) {
                        return .success(try await endpoints(of: service))
                    } catch { return .failure(error) }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        var objects: [KubernetesObject] = []
        for answer in answers { objects += try answer.get() }
        return objects
    }

    private func endpoints(
        of service: ObjectName
    ) async throws(ClientError) -> [KubernetesObject] {
        switch endpoints {
        case .endpointSlices:
            var part = ObjectSelection<EndpointSlice>()
            part.namespace = service.namespace
            part.labels = "\(EndpointSlice.serviceLabel)=\(service.name)"
            return try await list(part).map(KubernetesObject.endpointSlice)
        case .endpoints:
            var part = ObjectSelection<Endpoints>()
            part.namespace = service.namespace
            part.fields = "metadata.name=\(service.name)"
            part.isWanted = { $0.name == service }
            return try await list(part).map(KubernetesObject.endpoints)
        }
    }

    private func everyEndpoint(
        _ services: Set<ObjectName>
    ) async throws(ClientError) -> [KubernetesObject] {
        switch endpoints {
        case .endpointSlices:
            var part = ObjectSelection<EndpointSlice>()
            part.isWanted = { $0.service.map(services.contains) ?? false }
            return try await list(part).map(KubernetesObject.endpointSlice)
        case .endpoints:
            var part = ObjectSelection<Endpoints>()
            part.isWanted = { services.contains($0.name) }
            return try await list(part).map(KubernetesObject.endpoints)
        }
    }
}
