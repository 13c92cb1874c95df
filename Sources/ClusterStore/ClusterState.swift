package import KubernetesModel
package import NetworkTypes
package import PlanCompiler

/// The objects of the cluster, and which Services changes of them touch.
package struct ClusterState: Sendable {
    package private(set) var services: [ObjectName: Service] = [:]
    package private(set) var node: Node?
    private var slices: [ObjectName: [ObjectName: EndpointSlice]] = [:]
    private var serviceOfSlice: [ObjectName: ObjectName] = [:]
    private var serviceCIDRObjects: [String: ServiceCIDR] = [:]
    private let nodeName: String

    /// Services to compile again.
    private var dirty: Set<ObjectName> = []
    private var isNodeDirty = false

    /// - Parameter nodeName: the only Node that matters
    package init(nodeName: String) { self.nodeName = nodeName }

    package var serviceCIDRs: [IPPrefix] {
        IPPrefix.aggregated(serviceCIDRObjects.values.flatMap(\.cidrs))
    }

    /// What is wrong with objects that belong to no Service.
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

    package var hasChanges: Bool { !dirty.isEmpty || isNodeDirty }

    /// A Service with its slices in the order of their names.
    package func input(_ name: ObjectName) -> (service: Service, slices: [EndpointSlice])? {
        services[name].map { ($0, (slices[name] ?? [:]).values.sorted { $0.name < $1.name }) }
    }

    /// What changed since the last call.
    package mutating func takeChanges() -> (services: Set<ObjectName>, node: Bool) {
        defer { (dirty, isNodeDirty) = ([], false) }
        return (dirty, isNodeDirty)
    }

    // MARK: One object

    package mutating func set(_ object: KubernetesObject) {
        switch object {
        case .service(let service): set(service)
        case .endpointSlice(let slice): set(slice)
        case .node(let node): set(node)
        case .serviceCIDR(let cidr): set(cidr)
        }
    }

    package mutating func set(_ service: Service) {
        guard services[service.name] != service else { return }
        services[service.name] = service
        dirty.insert(service.name)
    }

    package mutating func removeService(_ name: ObjectName) {
        guard services.removeValue(forKey: name) != nil else { return }
        dirty.insert(name)
    }

    package mutating func set(_ slice: EndpointSlice) {
        // A slice may be given to another Service.
        if let owner = serviceOfSlice[slice.name], owner != slice.service {
            removeEndpointSlice(slice.name)
        }
        guard let owner = slice.service, slices[owner]?[slice.name] != slice else { return }
        slices[owner, default: [:]][slice.name] = slice
        serviceOfSlice[slice.name] = owner
        dirty.insert(owner)
    }

    package mutating func removeEndpointSlice(_ name: ObjectName) {
        guard let owner = serviceOfSlice.removeValue(forKey: name) else { return }
        slices[owner]?[name] = nil
        if slices[owner]?.isEmpty == true { slices[owner] = nil }
        dirty.insert(owner)
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

    package mutating func replaceServices(_ list: [Service]) {
        let names = Set(list.map(\.name))
        for name in services.keys where !names.contains(name) { removeService(name) }
        for service in list { set(service) }
    }

    package mutating func replaceEndpointSlices(_ list: [EndpointSlice]) {
        let names = Set(list.map(\.name))
        for name in serviceOfSlice.keys where !names.contains(name) { removeEndpointSlice(name) }
        for slice in list { set(slice) }
    }

    package mutating func replaceServiceCIDRs(_ list: [ServiceCIDR]) {
        let names = Set(list.map(\.name))
        for name in serviceCIDRObjects.keys where !names.contains(name) { removeServiceCIDR(name) }
        for cidr in list { set(cidr) }
    }

    /// Replaces everything with the objects of manifests.
    package mutating func replaceAll(_ objects: [KubernetesObject]) {
        var lists: ([Service], [EndpointSlice], [Node], [ServiceCIDR]) = ([], [], [], [])
        for object in objects {
            switch object {
            case .service(let service): lists.0.append(service)
            case .endpointSlice(let slice): lists.1.append(slice)
            case .node(let node): lists.2.append(node)
            case .serviceCIDR(let cidr): lists.3.append(cidr)
            }
        }
        replaceServices(lists.0)
        replaceEndpointSlices(lists.1)
        set(lists.2.last { $0.name == nodeName })
        replaceServiceCIDRs(lists.3)
    }
}
