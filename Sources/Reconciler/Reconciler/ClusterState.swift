internal import Containers
package import KubernetesModel
package import NetworkTypes
package import PlanCompiler

/// The kind of objects that names the endpoints of Services; the other kind is ignored.
package enum EndpointsSource: String, Sendable, CaseIterable {
    case endpointSlices = "endpointslices"
    /// The core/v1 Endpoints, for clusters without EndpointSlices.
    case endpoints
}

/// The changes since the last compilation.
package struct PendingChanges: Sendable, Hashable {
    /// The number of changes, which may exceed the number of changed objects.
    package var services = 0
    package var endpoints = 0
    /// The times at which endpoints changed in the cluster, according to EndpointSlices, in
    /// milliseconds since 1970.
    package var changeTimes: [Int64] = []
    package var causes = ChangeCauses()

    package init() {}
}

/// The objects of the cluster, and the Services that changes of them affect.
package struct ClusterState: Sendable {
    private var services = DenseMap<ObjectName, Service>()
    package private(set) var node: Node?
    /// The slices of each Service, sorted by name.
    private var slices = DenseMap<ObjectName, [EndpointSlice]>()
    private var serviceOfSlice = DenseMap<ObjectName, ObjectName>()
    private var serviceCIDRObjects: [String: ServiceCIDR] = [:]
    let nodeName: String
    private let source: EndpointsSource

    /// The Services that must be compiled again.
    private var dirty: Set<ObjectName> = []
    private var isNodeDirty = false
    package private(set) var pending = PendingChanges()
    /// Where the changes come from that are made now; nil if nobody wants to know.
    package var origin: ChangeOrigin?

    /// Makes an empty state.
    ///
    /// - Parameter nodeName: the name of the only Node that matters
    package init(nodeName: String, endpointsFrom source: EndpointsSource = .endpointSlices) {
        self.nodeName = nodeName
        self.source = source
    }

    package var serviceCIDRs: [IPPrefix] {
        IPPrefix.aggregated(serviceCIDRObjects.values.flatMap(\.cidrs))
    }

    /// The problems with objects that belong to no Service.
    package var nodeDiagnostics: [(ObjectName, [Diagnostic])] {
        let node = node.map { node in
            (
                ObjectName(namespace: "", name: "node"),
                node.problems.map { Diagnostic("Node \(node.name)", $0) }
            )
        }
        let blocks = serviceCIDRObjects.values.flatMap { object in
            object.problems.map { Diagnostic("ServiceCIDR \(object.name)", $0) }
        }
        return [node, (ObjectName(namespace: "", name: "servicecidrs"), blocks)].compactMap(\.self)
    }

    /// The Service whose endpoints are the API servers.
    package static let apiService = ObjectName(namespace: "default", name: "kubernetes")

    /// The API servers' addresses and ports.
    package var apiServers: Set<FrontendKey> {
        let slices = slices[Self.apiService] ?? []
        return Set(
            slices.flatMap { slice in
                slice.ports.flatMap { port in
                    slice.endpoints.map { FrontendKey($0.address, port.transport, port.port) }
                }
            }
        )
    }

    /// The Services that have external IPs or load balancer VIPs.
    package var servicesWithVirtualIPs: [ObjectName] {
        services.values.filter { !$0.externalIPs.isEmpty || !$0.loadBalancerVIPs.isEmpty }
            .map(\.name)
    }

    package private(set) var endpointCount = 0

    package var serviceCount: Int { services.count }

    package var serviceNames: some Collection<ObjectName> { services.keys }

    package var allServices: some Collection<Service> { services.values }

    package func service(_ name: ObjectName) -> Service? { services[name] }

    package var hasChanges: Bool { !dirty.isEmpty || isNodeDirty }

    /// Returns a Service with its slices, sorted by name.
    package func input(_ name: ObjectName) -> (service: Service, slices: [EndpointSlice])? {
        services[name].map { ($0, slices[name] ?? []) }
    }

    /// Returns these Services with their slices, and what belongs to the node, all of it changed.
    package func part(_ names: some Sequence<ObjectName>) -> ClusterState {
        var part = ClusterState(nodeName: nodeName, endpointsFrom: source)
        for name in names {
            if let service = services[name] { part.set(service) }
            for slice in slices[name] ?? [] { part.set(slice) }
        }
        for block in serviceCIDRObjects.values { part.set(block) }
        part.set(node)
        return part
    }

    /// Returns the changes since the last call, and forgets them.
    package mutating func takeChanges() -> (services: Set<ObjectName>, node: Bool) {
        defer { (dirty, isNodeDirty, pending) = ([], false, PendingChanges()) }
        return (dirty, isNodeDirty)
    }

    // MARK: One object

    package mutating func set(_ service: Service) {
        guard services[service.name] != service else { return }
        var service = service
        service.name = stored(service.name)
        services[service.name] = service
        onChange(ofService: service.name)
    }

    package mutating func removeService(_ name: ObjectName) {
        guard services.removeValue(forKey: name) != nil else { return }
        onChange(ofService: name, isRemoval: true)
    }

    package mutating func set(_ slice: EndpointSlice) {
        // A slice may move to another Service.
        if let owner = serviceOfSlice[slice.name], owner != slice.service {
            removeEndpointSlice(slice.name)
        }
        guard let label = slice.service else { return }
        let owner = stored(label)
        var slice = slice
        slice.service = owner
        let (index, isThere) = place(of: slice.name, in: owner)
        guard !isThere || slices[owner]?[index] != slice else { return }
        endpointCount += slice.endpoints.count
        if isThere {
            endpointCount -= slices[owner]?[index].endpoints.count ?? 0
            slices.update(owner) { $0[index] = slice }
        } else {
            slices[owner, default: []].insert(slice, at: index)
        }
        serviceOfSlice[slice.name] = owner
        onChange(ofSlice: slice.name, of: owner)
        if slice.changedAt != 0 { pending.changeTimes.append(slice.changedAt) }
    }

    package mutating func removeEndpointSlice(_ name: ObjectName) {
        guard let owner = serviceOfSlice.removeValue(forKey: name) else { return }
        let index = place(of: name, in: owner).index
        endpointCount -= slices.update(owner) { $0.remove(at: index).endpoints.count } ?? 0
        if slices[owner]?.isEmpty == true { slices[owner] = nil }
        onChange(ofSlice: name, of: owner, isRemoval: true)
    }

    /// Returns the name of a Service that is in memory already, if there is one.
    private func stored(_ service: ObjectName) -> ObjectName {
        services.key(service) ?? slices.key(service) ?? service
    }

    private mutating func onChange(ofService name: ObjectName, isRemoval: Bool = false) {
        dirty.insert(name)
        pending.services += 1
        guard let origin else { return }
        pending.causes.add(
            ChangeCause(.service, name, of: name, isRemoval: isRemoval, origin)
        )
    }

    private mutating func onChange(
        ofSlice name: ObjectName,
        of owner: ObjectName,
        isRemoval: Bool = false
    ) {
        dirty.insert(owner)
        pending.endpoints += 1
        guard let origin else { return }
        let cause =
            source == .endpoints
            ? ChangeCause(.endpoints, owner, of: owner, origin)
            : ChangeCause(.endpointSlice, name, of: owner, isRemoval: isRemoval, origin)
        pending.causes.add(cause)
    }

    /// Returns the index of the slice among those of its Service, or the index at which to insert
    /// it.
    private func place(
        of slice: ObjectName,
        in service: ObjectName
    ) -> (index: Int, isThere: Bool) {
        let list = slices[service] ?? []
        var range = list.indices
        while let middle = range.isEmpty ? nil : range.lowerBound + range.count / 2 {
            if list[middle].name == slice { return (middle, true) }
            range =
                list[middle].name < slice
                ? middle + 1..<range.upperBound : range.lowerBound..<middle
        }
        return (range.lowerBound, false)
    }

    /// Replaces all slices of a Service with those of its Endpoints object.
    package mutating func set(_ endpoints: Endpoints) {
        removeEndpoints(endpoints.name, except: Set(endpoints.slices.map(\.name)))
        for slice in endpoints.slices { set(slice) }
    }

    package mutating func removeEndpoints(_ service: ObjectName, except kept: Set<ObjectName> = [])
    {
        for slice in slices[service] ?? [] where !kept.contains(slice.name) {
            removeEndpointSlice(slice.name)
        }
    }

    package mutating func set(_ node: Node?) {
        guard node?.name ?? nodeName == nodeName, self.node != node else { return }
        self.node = node
        isNodeDirty = true
    }

    package mutating func set(_ cidr: ServiceCIDR) {
        guard serviceCIDRObjects[cidr.name] != cidr else { return }
        serviceCIDRObjects[cidr.name] = cidr
        isNodeDirty = true
    }

    package mutating func removeServiceCIDR(_ name: String) {
        guard serviceCIDRObjects.removeValue(forKey: name) != nil else { return }
        isNodeDirty = true
    }

    // MARK: Whole lists
    //
    // The objects to keep are missing from the list because they cannot be read now, not because
    // they are gone.

    /// Returns the known objects that are neither in a list nor to be kept.
    private func missing(
        _ known: some Collection<ObjectName>,
        from list: [ObjectName],
        _ kept: UnreadableObjects
    ) -> [ObjectName] {
        let names = Set(list)
        return known.filter { !names.contains($0) && !kept.contains($0) }
    }

    package mutating func replaceServices(
        _ list: [Service],
        keeping kept: UnreadableObjects = .init()
    ) {
        for name in missing(services.keys, from: list.map(\.name), kept) { removeService(name) }
        for service in list { set(service) }
    }

    package mutating func replaceEndpointSlices(
        _ list: [EndpointSlice],
        keeping kept: UnreadableObjects = .init()
    ) {
        for name in missing(serviceOfSlice.keys, from: list.map(\.name), kept) {
            removeEndpointSlice(name)
        }
        for slice in list { set(slice) }
    }

    package mutating func replaceEndpoints(
        _ list: [Endpoints],
        keeping kept: UnreadableObjects = .init()
    ) {
        for name in missing(slices.keys, from: list.map(\.name), kept) { removeEndpoints(name) }
        for endpoints in list { set(endpoints) }
    }

    package mutating func replaceServiceCIDRs(
        _ list: [ServiceCIDR],
        keeping kept: UnreadableObjects = .init()
    ) {
        let known = serviceCIDRObjects.values.map(\.objectName)
        for name in missing(known, from: list.map(\.objectName), kept) {
            removeServiceCIDR(name.name)
        }
        for cidr in list { set(cidr) }
    }

    /// Replaces everything with the objects of manifests.
    package mutating func replaceAll(_ objects: [KubernetesObject]) {
        var services: [Service] = []
        var slices: [EndpointSlice] = []
        var nodes: [Node] = []
        var cidrs: [ServiceCIDR] = []
        for object in objects {
            switch object {
            case .service(let service): services.append(service)
            case .endpointSlice(let slice):
                if source == .endpointSlices { slices.append(slice) }
            case .endpoints(let endpoints):
                if source == .endpoints { slices += endpoints.slices }
            case .node(let node): nodes.append(node)
            case .serviceCIDR(let cidr): cidrs.append(cidr)
            }
        }
        replaceServices(services)
        replaceEndpointSlices(slices)
        set(nodes.last { $0.name == nodeName })
        replaceServiceCIDRs(cidrs)
    }
}
