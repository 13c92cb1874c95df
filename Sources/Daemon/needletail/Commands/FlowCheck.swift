internal import Backend
internal import KubernetesModel
internal import NetworkTypes
internal import PlanCompiler
internal import ServicePlan

/// One packet whose evaluation is compared with what the API wants.
struct FlowCheck {
    let frontend: Frontend
    let plan: ServicePlan
    let kind: FlowExplanation.Client
    let packet: FirstPacket
    /// For this very client.
    let wanted: FlowExplanation
    /// The rules take the node for a pod: its address is in a block of pods.
    let looksLikePod: Bool
    /// The node's own.
    let ownAddresses: Set<IPAddress>
    /// Why endpoints of this node may not get what is sent to them.
    let unsafePlaces: [AddressAndPort: String]

    /// The answer about one flow.
    func verdict(_ evaluation: Evaluation) -> Explanation.KernelFlow {
        let outcomes = evaluation.outcomes
        let wrong = outcomes.filter { !isRight($0.fate) }
        let missing = missingEndpoints(outcomes)
        let doubts =
            Set(evaluation.doubts + outcomes.flatMap(\.doubts)).sorted() + placeDoubts(outcomes)
        var agrees: Bool? = true
        if wrong.contains(where: \.doubts.isEmpty) {
            agrees = false
        } else if !doubts.isEmpty || outcomes.isEmpty {
            agrees = nil
        } else if !wrong.isEmpty || !missing.isEmpty {
            agrees = false
        }
        return Explanation.KernelFlow(
            agrees: agrees,
            outcomes: outcomes.map { Explanation.Outcome($0, isWanted: isRight($0.fate)) },
            missing: missing.map(\.description),
            doubts: doubts
        )
    }

    private func placeDoubts(_ outcomes: [Evaluation.Outcome]) -> [String] {
        outcomes.compactMap { outcome in
            guard case .delivered(let endpoint, _) = outcome.fate else { return nil }
            return unsafePlaces[endpoint].map { "\(endpoint) is on this node, but \($0)" }
        }
    }

    private func isRight(_ fate: Evaluation.Fate) -> Bool {
        switch (wanted.outcome, fate) {
        case (.rejected, .rejected), (.dropped, .dropped): return true
        case (.balanced, .delivered(let endpoint, let isMasqueraded)):
            guard wanted.endpoints.contains(endpoint) else { return false }
            return isMasqueraded == isMasqueradeWanted(endpoint)
        case (.rejected, _), (.dropped, _), (.balanced, _): return false
        }
    }

    private func isMasqueradeWanted(_ endpoint: AddressAndPort) -> Bool {
        // What comes to the node itself passes no hook that masquerades.
        if packet.interface != nil, ownAddresses.contains(endpoint.address) { return false }
        if endpoint.address == packet.source, isLocal(endpoint) { return true }
        return wanted.isMasqueraded && !(looksLikePod && frontend.masquerade == .nonPods)
    }

    private func isLocal(_ endpoint: AddressAndPort) -> Bool {
        plan.pools.contains { pool in
            pool.endpoints.contains { $0.isLocal && $0.place == endpoint }
        }
    }

    /// A client with affinity has one endpoint.
    private func missingEndpoints(_ outcomes: [Evaluation.Outcome]) -> [AddressAndPort] {
        guard wanted.outcome == .balanced, frontend.affinityTimeout == nil else { return [] }
        let reached = Set(
            outcomes.compactMap { outcome in
                if case .delivered(let endpoint, _) = outcome.fate { endpoint } else { nil }
            }
        )
        return wanted.endpoints.filter { !reached.contains($0) }
    }
}
