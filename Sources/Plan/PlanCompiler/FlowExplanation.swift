package import NetworkTypes
package import ServicePlan

/// The fate of a client's connection to a frontend, and the reason for it.
package struct FlowExplanation: Sendable, Hashable, Encodable {
    package enum Client: String, Sendable, Hashable, Encodable {
        case pod, node, outside
    }

    package enum Outcome: String, Sendable, Hashable, Encodable {
        case balanced, rejected, dropped
    }

    package let outcome: Outcome
    package let why: String
    /// The possible destinations; empty unless the connection is balanced.
    package let endpoints: [AddressAndPort]
    package let isMasqueraded: Bool
    package let whyMasqueraded: String

    /// Explains the fate of a connection.
    ///
    /// - Parameters: - sources: the addresses that such a client may have; empty if unknown -
    ///   canTellPods: whether the node can tell pods from other clients - absence: the reason why
    ///   there are no endpoints, used if there are none
    package init(
        _ frontend: Frontend,
        of plan: ServicePlan,
        from client: Client,
        sources: [IPPrefix],
        canTellPods: Bool,
        absence: String
    ) {
        let pools = plan.pools(of: frontend)
        let admission = Admission(frontend.allowedSources, sources)
        var pool: Pool?
        if case .refused(let reason) = admission {
            (outcome, why) = (.dropped, reason)
        } else {
            let reason: String
            switch frontend.action {
            case .balance:
                (outcome, reason) = (.balanced, "to one of these endpoints")
                pool = pools.cluster
            case .split(_, let local):
                if client != .outside {
                    outcome = .balanced
                    reason =
                        "to endpoints of every node: external traffic policy Local does not bind pods and"
                        + " this node"
                    pool = pools.cluster
                } else if local != nil {
                    outcome = .balanced
                    reason = "external traffic policy Local: to endpoints of this node alone"
                    pool = pools.local
                } else {
                    outcome = .dropped
                    reason =
                        "external traffic policy Local, and no endpoint of this node serves; clients and"
                        + " load balancers must use a node that has one"
                }
            case .reject: (outcome, reason) = (.rejected, absence)
            case .drop:
                outcome = .dropped
                reason = "internal traffic policy Local, and no endpoint of this node serves"
            }
            let depends = admission == .depends && outcome != .dropped
            why = depends ? reason + Admission.condition : reason
        }
        endpoints = pool?.endpoints.map(\.place) ?? []
        (isMasqueraded, whyMasqueraded) = Self.masquerade(frontend, client, canTellPods)
    }

    /// The effect of loadBalancerSourceRanges on a client.
    private enum Admission: Equatable {
        case granted
        case depends
        case refused(String)

        static let condition =
            "; if its address is in the Service's loadBalancerSourceRanges, and dropped otherwise"

        init(_ ranges: [IPPrefix]?, _ sources: [IPPrefix]) {
            let admitted = { (source: IPPrefix) in ranges?.contains { $0.contains(source) } ?? true
            }
            let meets = { (source: IPPrefix) in ranges?.contains { source.contains($0) } ?? true }
            if ranges?.isEmpty == true {
                self = .refused("none of the Service's loadBalancerSourceRanges can be read")
            } else if ranges == nil || !sources.isEmpty && sources.allSatisfy(admitted) {
                self = .granted
            } else if sources.isEmpty || sources.contains(where: { admitted($0) || meets($0) }) {
                self = .depends
            } else {
                let names = sources.map { $0 == IPPrefix(host: $0.base) ? "\($0.base)" : "\($0)" }
                self = .refused(
                    "\(names.joined(separator: ", ")) is in none of the Service's"
                        + " loadBalancerSourceRanges"
                )
            }
        }
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
