internal import KubernetesModel
internal import NetworkTypes
internal import ServicePlan

/// An endpoint of one Service port with what its selection depends on.
struct Candidate {
    var endpoint: Endpoint
    var isReady: Bool
    var isServing: Bool
    var isTerminating: Bool
    var zoneHints: [String]
    var nodeHints: [String]

    /// A terminating endpoint that still answers.
    var isDraining: Bool { isServing && isTerminating }
}

/// The endpoints of one Service port and family that this node may use.
///
/// `pkg/proxy/topology.go: CategorizeEndpoints`, whose terms this follows.
struct EndpointSelection {
    private(set) var cluster: [Endpoint] = []
    private(set) var local: [Endpoint] = []
    /// Some endpoint could serve, though perhaps not from this node.
    private(set) var hasAny = false
    private(set) var draining: [Endpoint] = []

    init(_ candidates: [Candidate], usesCluster: Bool, usesLocal: Bool, node: NodeView) {
        hasAny = candidates.contains { $0.isReady || $0.isDraining }
        if usesCluster {
            let topology = Topology(candidates, node: node)
            cluster = Self.preferReady(candidates) { topology.admits($0, node: node) }
            // Hints never leave a Service without endpoints, so what is missing here is readiness.
        }
        if usesLocal {
            local = Self.preferReady(candidates.filter(\.endpoint.isLocal)) { _ in true }
        }
        draining = candidates.filter(\.isDraining).map(\.endpoint)
    }

    /// The ready ones that are admitted, or else all that terminate and still serve (KEP-1669).
    private static func preferReady(
        _ candidates: [Candidate],
        where admits: (Candidate) -> Bool
    ) -> [Endpoint] {
        let ready = candidates.filter { $0.isReady && admits($0) }
        return (ready.isEmpty ? candidates.filter(\.isDraining) : ready).map(\.endpoint)
    }
}

/// Which hints of the endpoints count for this node.
///
/// Node hints if every ready endpoint has some and one names this node; else zone hints likewise;
/// else none (`topologyModeFromHints`; KEP-2433, KEP-3015).
enum Topology {
    case node, zone, anywhere

    init(_ candidates: [Candidate], node: NodeView) {
        let ready = candidates.filter(\.isReady)
        let counts = { (hints: (Candidate) -> [String], name: String?) -> Bool in
            guard let name, !name.isEmpty else { return false }
            return ready.allSatisfy { !hints($0).isEmpty }
                && ready.contains { hints($0).contains(name) }
        }
        if counts(\.nodeHints, node.name) {
            self = .node
        } else if counts(\.zoneHints, node.zone) {
            self = .zone
        } else {
            self = .anywhere
        }
    }

    func admits(_ candidate: Candidate, node: NodeView) -> Bool {
        switch self {
        case .node: candidate.nodeHints.contains(node.name)
        case .zone: node.zone.map(candidate.zoneHints.contains) ?? false
        case .anywhere: true
        }
    }
}

/// The candidates of a Service port in one family, each address and port once, sorted.
///
/// An endpoint in several slices counts once; the ready one wins, then the serving one, and it is
/// local if any of them says so.
func candidates(
    of port: ServicePort,
    family: IPFamily,
    in slices: some Sequence<EndpointSlice>,
    node: NodeView
) -> [Candidate] {
    var found: [Endpoint: Candidate] = [:]
    for slice in slices where slice.family == family {
        // A slice may map one port name to several numbers for different pods.
        for slicePort in slice.ports
        where slicePort.name == port.name && slicePort.transport == port.transport {
            for endpoint in slice.endpoints {
                let candidate = Candidate(endpoint, port: slicePort.port, node: node)
                let key = Endpoint(endpoint.address, slicePort.port, isLocal: false)
                found[key] = found[key].map { $0.merged(with: candidate) } ?? candidate
            }
        }
    }
    return found.sorted { $0.key < $1.key }.map(\.value)
}

extension Candidate {
    fileprivate init(_ slice: SliceEndpoint, port: UInt16, node: NodeView) {
        endpoint = Endpoint(slice.address, port, isLocal: slice.nodeName == node.name)
        isReady = slice.isReady
        isServing = slice.isServing
        isTerminating = slice.isTerminating
        zoneHints = slice.zoneHints
        nodeHints = slice.nodeHints
    }

    fileprivate func merged(with other: Candidate) -> Candidate {
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
