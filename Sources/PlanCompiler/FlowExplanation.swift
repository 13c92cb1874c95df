package import NetworkTypes
package import ServicePlan

/// What happens to a client's connection to a frontend, and why.
package struct FlowExplanation: Sendable, Hashable, Encodable {
    package enum Client: String, Sendable, Hashable, Encodable {
        case pod, node, outside
    }

    package enum Outcome: String, Sendable, Hashable, Encodable {
        case balanced, rejected, dropped
    }

    package let outcome: Outcome
    package let why: String
    /// Where it may go; empty unless it is balanced.
    package let endpoints: [String]
    package let isMasqueraded: Bool
    package let whyMasqueraded: String

    /// - Parameters:
    ///   - source: the client's address
    ///   - canTellPods: whether the node tells pods from others
    package init(
        _ frontend: Frontend,
        of plan: ServicePlan,
        from client: Client,
        source: IPAddress,
        canTellPods: Bool
    ) {
        let pools = plan.pools(of: frontend)
        var pool: Pool?
        if let ranges = frontend.allowedSources, !ranges.contains(where: { $0.contains(source) }) {
            outcome = .dropped
            why = "\(source) is in none of the Service's loadBalancerSourceRanges"
        } else {
            switch frontend.action {
            case .balance:
                (outcome, why) = (.balanced, "everyone gets one of these endpoints")
                pool = pools.cluster
            case .split(_, let local):
                if client != .outside {
                    outcome = .balanced
                    why = "external traffic policy Local does not bind pods and the node itself"
                    pool = pools.cluster
                } else if local != nil {
                    outcome = .balanced
                    why = "external traffic policy Local: endpoints of this node alone"
                    pool = pools.local
                } else {
                    outcome = .dropped
                    why = "external traffic policy Local, and no endpoint on this node"
                }
            case .reject: (outcome, why) = (.rejected, "no endpoint anywhere")
            case .drop:
                outcome = .dropped
                why = "internal traffic policy Local, and no endpoint on this node"
            }
        }
        endpoints = pool?.endpoints.map(\.description) ?? []
        (isMasqueraded, whyMasqueraded) = Self.masquerade(frontend, client, canTellPods)
    }

    private static func masquerade(
        _ frontend: Frontend,
        _ client: Client,
        _ canTellPods: Bool
    ) -> (Bool, String) {
        let hairpin = "; a pod that is sent to itself is masqueraded always"
        switch (frontend.masquerade, client) {
        case (.everyone, _) where frontend.kind == .clusterIP:
            return (true, "--masquerade-all")
        case (.everyone, _):
            return (true, "the endpoint may be on another node, and answers must come back here")
        case (.nonPods, .pod): return (false, "a pod sends to a cluster IP" + hairpin)
        case (.nonPods, _) where !canTellPods:
            return (false, "nothing tells pods from others here (--cluster-cidr)" + hairpin)
        case (.nonPods, _): return (true, "it is no pod that sends to a cluster IP")
        case (.node, .node): return (true, "the node itself uses a frontend of policy Local")
        case (.node, _): return (false, "external traffic policy Local keeps the source" + hairpin)
        }
    }
}
