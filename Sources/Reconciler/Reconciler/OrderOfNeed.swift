internal import KubernetesModel
internal import NetworkTypes
internal import ServicePlan

/// How soon a new node needs a Service.
///
/// What its pods will call cannot be known. They need the API server and DNS; then those Services
/// count that have endpoints on the node, since replicas call each other and clients outside are
/// sent to the nodes of the endpoints. A Service without endpoints only refuses connections.
enum Need: Int, Comparable, CaseIterable {
    case apiServer, dns, local, served, empty

    static func < (left: Need, right: Need) -> Bool { left.rawValue < right.rawValue }
}

extension ServicePlan {
    var need: Need {
        if service == ClusterState.apiService.description { return .apiServer }
        let endpoints = pools.lazy.flatMap(\.endpoints)
        if endpoints.isEmpty { return .empty }
        if frontends.contains(where: { $0.kind == .clusterIP && $0.key.port == 53 }) { return .dns }
        return endpoints.contains(where: \.isLocal) ? .local : .served
    }
}

extension [ServicePlan] {
    var inOrderOfNeed: [ServicePlan] { ordered { $0.need } }
}

extension [PlanChange] {
    var inOrderOfNeed: [PlanChange] { ordered { $0.new?.need ?? .empty } }
}

extension Array {
    fileprivate func ordered(_ need: (Element) -> Need) -> [Element] {
        var groups = [[Element]](repeating: [], count: Need.allCases.count)
        for element in self { groups[need(element).rawValue].append(element) }
        return groups.flatMap(\.self)
    }
}

extension ClusterState {
    /// The Services that others on this node wait for, at most so many, found without compiling any.
    func neededFirst(atMost limit: Int) -> [ObjectName] {
        var (dns, local): ([ObjectName], [ObjectName]) = ([], [])
        for service in allServices where service.name != Self.apiService {
            let name = service.name
            guard let slices = input(name)?.slices else { continue }
            let endpoints = slices.lazy.flatMap(\.endpoints)
            if service.ports.contains(where: { $0.port == 53 }), !endpoints.isEmpty {
                dns.append(name)
            } else if endpoints.contains(where: { $0.place.nodeName == nodeName }) {
                local.append(name)
            }
        }
        let server = service(Self.apiService) == nil ? [] : [Self.apiService]
        return Array((server + dns + local).prefix(limit))
    }
}
