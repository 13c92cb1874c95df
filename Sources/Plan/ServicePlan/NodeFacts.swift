package import NetworkTypes

/// Facts about the whole node that a backend needs in addition to the Services' plans.
package struct NodeFacts: Sendable, Hashable {
    /// The blocks that cluster IPs come from; packets to unused addresses in them are dropped.
    package var serviceCIDRs: [IPPrefix]
    /// The blocks that pod addresses come from; used only if pods are recognized by their address.
    package var podCIDRs: [IPPrefix]
    /// Whether the kernel counts the connections of each frontend (`--service-metrics`).
    package var countsConnections: Bool
    private var localDetection: LocalDetection

    package init(
        serviceCIDRs: [IPPrefix] = [],
        podCIDRs: [IPPrefix] = [],
        localDetection: LocalDetection = .none,
        countsConnections: Bool = false
    ) {
        self.serviceCIDRs = serviceCIDRs
        self.podCIDRs = podCIDRs
        self.localDetection = localDetection
        self.countsConnections = countsConnections
    }

    /// Returns how to recognize pods in one IP family.
    ///
    /// Recognition by address needs a block of that family; without one the result is `none`.
    package func localDetection(_ family: IPFamily) -> LocalDetection {
        if localDetection == .podCIDRs, !podCIDRs.contains(where: { $0.family == family }) {
            return .none
        }
        return localDetection
    }
}

/// How a node recognizes traffic from its pods (`--detect-local-mode`).
package enum LocalDetection: Sendable, Hashable {
    /// The node does not recognize pods: they are treated like all other clients.
    case none
    /// The source address is in a pod block (modes ClusterCIDR and NodeCIDR).
    case podCIDRs
    case interface(String)
    case interfacePrefix(String)
}
