internal import ServicePlan

/// The endpoints of one Service port and family that this node may use.
///
/// The names follow `pkg/proxy/topology.go: CategorizeEndpoints`.
struct EndpointSelection {
    private(set) var cluster: [Endpoint] = []
    private(set) var local: [Endpoint] = []
    /// Whether some endpoint could serve, though perhaps not from this node.
    private(set) var hasAny = false
    private(set) var draining: [Endpoint] = []

    init(_ candidates: [Candidate], usesCluster: Bool, usesLocal: Bool, node: NodeView) {
        hasAny = candidates.contains { $0.isReady || $0.isDraining }
        if usesCluster {
            let topology = Topology(candidates, node: node)
            cluster = Self.preferReady(candidates) { topology.admits($0, node: node) }
            // Hints never exclude every ready endpoint, so draining ones are used only if none is
            // ready.
        }
        if usesLocal {
            local = Self.preferReady(candidates.filter(\.endpoint.isLocal)) { _ in true }
        }
        draining = candidates.filter(\.isDraining).map(\.endpoint)
    }

    /// Returns the admitted ready endpoints, or else all that terminate and still serve (KEP-1669).
    private static func preferReady(
        _ candidates: [Candidate],
        where admits: (Candidate) -> Bool
    ) -> [Endpoint] {
        let ready = candidates.filter { $0.isReady && admits($0) }
        return (ready.isEmpty ? candidates.filter(\.isDraining) : ready).map(\.endpoint)
    }
}

/// The kind of hints of the endpoints that apply on this node.
///
/// Node hints apply if every ready endpoint has some and one of them names this node. Otherwise
/// zone hints apply under the same condition, and otherwise none (`topologyModeFromHints`;
/// KEP-2433, KEP-3015).
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
