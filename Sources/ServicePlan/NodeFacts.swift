package import NetworkTypes

/// Facts of the whole node that a backend needs beside the Services' plans.
package struct NodeFacts: Sendable, Hashable {
    /// Where cluster IPs come from; packets to those that are not in use go nowhere.
    package var serviceCIDRs: [IPPrefix]
    /// Where pods are, if that is how they are told.
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

    /// How pods are told in a family; without a block of that family, not at all.
    package func localDetection(_ family: IPFamily) -> LocalDetection {
        if localDetection == .podCIDRs, !podCIDRs.contains(where: { $0.family == family }) {
            return .none
        }
        return localDetection
    }
}

/// How a node tells the traffic of its pods (`--detect-local-mode`).
package enum LocalDetection: Sendable, Hashable {
    /// It cannot: pods are treated like everyone else.
    case none
    /// By source address (modes ClusterCIDR and NodeCIDR).
    case podCIDRs
    case interface(String)
    case interfacePrefix(String)
}
