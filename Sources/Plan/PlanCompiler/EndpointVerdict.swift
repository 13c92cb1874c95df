package import KubernetesModel
package import NetworkTypes
internal import ServicePlan

/// The reason why this node does or does not send connections of a Service port to an endpoint.
package struct EndpointVerdict: Sendable, Hashable, Encodable {
    package let endpoint: String
    package let isLocal: Bool
    /// Whether the endpoint is used under traffic policy Cluster.
    package let servesCluster: Bool
    package let servesLocal: Bool
    package let reason: String
}

extension PlanCompiler {
    /// Judges every endpoint of a port in one family by the rules of `EndpointSelection`.
    package func verdicts(
        _ port: ServicePort,
        _ family: IPFamily,
        in slices: [EndpointSlice]
    ) -> [EndpointVerdict] {
        var index = CandidateIndex(slices, family: family, node: node)
        let all = index.candidates(of: port)
        let selection = EndpointSelection(all, usesCluster: true, usesLocal: true, node: node)
        let topology = Topology(all, node: node)
        let (cluster, local) = (Set(selection.cluster), Set(selection.local))
        let isDesperate = !all.contains { $0.isReady }
        return all.map { candidate in
            EndpointVerdict(
                endpoint: candidate.endpoint.description,
                isLocal: candidate.endpoint.isLocal,
                servesCluster: cluster.contains(candidate.endpoint),
                servesLocal: local.contains(candidate.endpoint),
                reason: reason(candidate, topology, isDesperate: isDesperate)
            )
        }
    }

    /// Explains which hints apply here, or why they do not.
    package func topologyReason(
        _ port: ServicePort,
        _ family: IPFamily,
        in slices: [EndpointSlice]
    ) -> String {
        var index = CandidateIndex(slices, family: family, node: node)
        let all = index.candidates(of: port)
        let ready = all.filter(\.isReady)
        switch Topology(all, node: node) {
        case .node:
            return "node hints count: all ready endpoints have some, and one names this node"
        case .zone:
            return "zone hints count: all ready endpoints have some, and one names zone"
                + " \(node.zone ?? "")"
        case .anywhere:
            let reasons = [nodeHintsReason(ready), zoneHintsReason(ready)].compactMap(\.self)
            return reasons.isEmpty
                ? "no ready endpoint has zone hints or node hints" : reasons.joined(separator: "; ")
        }
    }

    /// Explains why node hints do not count; nil if there are none.
    private func nodeHintsReason(_ ready: [Candidate]) -> String? {
        hintsReason("node", ready.map(\.nodeHints), "none names this node, \(node.name)")
    }

    /// Explains why zone hints do not count; nil if there are none.
    private func zoneHintsReason(_ ready: [Candidate]) -> String? {
        let hints = ready.map(\.zoneHints)
        guard let zone = node.zone else {
            let reason = "this node has no zone (label topology.kubernetes.io/zone)"
            return hints.allSatisfy(\.isEmpty) ? nil : "zone hints do not count: \(reason)"
        }
        return hintsReason("zone", hints, "none names this node's zone, \(zone)")
    }

    /// Explains why hints do not count, if it is not for the node.
    ///
    /// - Parameters:
    ///   - hints: those of each ready endpoint
    ///   - strangeness: what is said if all endpoints have hints
    private func hintsReason(
        _ kind: String,
        _ hints: [some Collection],
        _ strangeness: String
    ) -> String? {
        let missing = hints.count(where: \.isEmpty)
        guard missing < hints.count else { return nil }
        let reason =
            missing > 0 ? "\(missing) of \(hints.count) ready endpoints have none" : strangeness
        return "\(kind) hints do not count: \(reason)"
    }

    /// Explains why a port without endpoints in a family has none.
    package func absenceReason(
        _ port: ServicePort,
        _ family: IPFamily,
        in slices: [EndpointSlice]
    ) -> String {
        let own = slices.filter { $0.family == family }
        let total = own.reduce(0) { $0 + $1.endpoints.count }
        guard total > 0 else {
            return "the Service has no \(family) endpoint anywhere: see whether its selector"
                + " matches pods"
        }
        let name = port.name.isEmpty ? "without a name" : "named \"\(port.name)\""
        let having = own.filter { slice in
            slice.ports.contains { $0.name == port.name && $0.transport == port.transport }
        }
        guard !having.isEmpty else {
            let ports = Set(own.flatMap { $0.ports.map { "\"\($0.name)\"/\($0.transport)" } })
            let others = ports.sorted().prefix(5).joined(separator: ", ")
            return
                "the Service has \(total) endpoints, but none has a \(port.transport) port \(name)"
                + (others.isEmpty ? "" : " (they have \(others))")
                + ": see the Service's targetPort and the names of the pods' ports"
        }
        let count = having.reduce(0) { $0 + $1.endpoints.count }
        return "no endpoint is ready, of \(count) that have the port: see the pods' readiness"
    }

    private func reason(
        _ candidate: Candidate,
        _ topology: Topology,
        isDesperate: Bool
    ) -> String {
        if candidate.isReady {
            guard !topology.admits(candidate, node: node) else { return "ready" }
            switch topology {
            case .node:
                return "ready, but hinted to nodes \(candidate.nodeHints.joined(separator: ", "))"
            case .zone:
                return "ready, but hinted to zones \(candidate.zoneHints.joined(separator: ", "))"
            case .anywhere: return "ready"
            }
        }
        if candidate.isDraining {
            return isDesperate
                ? "terminating, but it still serves, and no endpoint is ready"
                : "terminating: it keeps its connections and gets no new ones"
        }
        return candidate.isTerminating ? "terminating, and serves no more" : "not ready"
    }
}
