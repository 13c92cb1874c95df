internal import KubernetesModel
internal import NetworkTypes
internal import ServicePlan

/// An endpoint of one Service port, with the facts that decide whether it is selected.
struct Candidate {
    var endpoint: Endpoint
    var isReady: Bool
    var isServing: Bool
    var isTerminating: Bool
    var zoneHints: [String]
    var nodeHints: [String]

    /// Whether the endpoint is terminating but still answers.
    var isDraining: Bool { isServing && isTerminating }
}

/// The candidates of all ports of one Service in one family.
///
/// The facts about an address are merged once for all ports that use the same slices, so further
/// ports of a Service with many endpoints cost little.
struct CandidateIndex {
    private struct PortName: Hashable {
        let name: String
        let transport: TransportProtocol
    }

    private let slices: [EndpointSlice]
    private let nodeName: String
    /// The port numbers of each port name, with the indices of the slices that contain them.
    ///
    /// One name may stand for several numbers, for different pods.
    private var places: [PortName: [UInt16: [Int]]] = [:]
    private var merged: [[Int]: [Candidate]] = [:]

    init(_ slices: [EndpointSlice], family: IPFamily, node: NodeView) {
        let slices = slices.filter { $0.family == family }
        self.slices = slices
        nodeName = node.name
        for (place, slice) in slices.enumerated() {
            for port in slice.ports {
                let name = PortName(name: port.name, transport: port.transport)
                let known = places[name]?[port.port]?.last
                if known != place {
                    places[name, default: [:]][port.port, default: []].append(place)
                }
            }
        }
    }

    /// The candidates of a port, each address and port number once, sorted.
    mutating func candidates(of port: ServicePort) -> [Candidate] {
        let numbers = places[PortName(name: port.name, transport: port.transport)] ?? [:]
        var found: [Candidate] = []
        for (number, places) in numbers {
            found += candidates(at: places).map { $0.on(number) }
        }
        return numbers.count > 1 ? found.sorted { $0.endpoint < $1.endpoint } : found
    }

    /// The candidates for the health check: every address once, with port number 0.
    mutating func candidatesOfAllPorts() -> [Candidate] { candidates(at: Array(slices.indices)) }

    private mutating func candidates(at places: [Int]) -> [Candidate] {
        if let known = merged[places] { return known }
        var found: [IPAddress: Candidate] = [:]
        for place in places {
            for endpoint in slices[place].endpoints {
                let candidate = Candidate(endpoint, isLocal: endpoint.place.nodeName == nodeName)
                found[endpoint.address] =
                    found[endpoint.address].map { $0.merged(with: candidate) } ?? candidate
            }
        }
        let list = found.values.sorted { $0.endpoint < $1.endpoint }
        merged[places] = list
        return list
    }
}

extension Candidate {
    fileprivate init(_ slice: SliceEndpoint, isLocal: Bool) {
        endpoint = Endpoint(slice.address, 0, isLocal: isLocal)
        isReady = slice.isReady
        isServing = slice.isServing
        isTerminating = slice.isTerminating
        zoneHints = slice.place.zoneHints
        nodeHints = slice.place.nodeHints
    }

    fileprivate func on(_ port: UInt16) -> Candidate {
        var copy = self
        copy.endpoint = Endpoint(endpoint.address, port, isLocal: endpoint.isLocal)
        return copy
    }

    /// Merges two endpoints with the same address.
    ///
    /// An endpoint that is not terminating wins: a pod's address may pass to another pod, perhaps
    /// on another node, while slices still list the old one. Otherwise a ready endpoint wins, then
    /// a serving one, and the result is local if either is, as in
    /// `pkg/proxy/endpointslicecache.go`.
    fileprivate func merged(with other: Candidate) -> Candidate {
        guard isTerminating == other.isTerminating else { return isTerminating ? other : self }
        var best = (other.isReady, other.isServing) > (isReady, isServing) ? other : self
        if endpoint.isLocal || other.endpoint.isLocal {
            best.endpoint = Endpoint(endpoint.address, endpoint.port, isLocal: true)
        }
        return best
    }
}

private func > (left: (Bool, Bool), right: (Bool, Bool)) -> Bool {
    left.0 != right.0 ? left.0 : left.1 && !right.1
}
