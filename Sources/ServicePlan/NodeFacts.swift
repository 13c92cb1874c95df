package import NetworkTypes

/// Facts of the whole node that a dataplane needs beside the Services' plans.
package struct NodeFacts: Sendable, Hashable {
    /// Where cluster IPs come from; packets to those that are not in use go nowhere.
    package var serviceCIDRs: [IPPrefix]
    /// Where pods are, if that is how they are told.
    package var podCIDRs: [IPPrefix]
    package var balancer: Balancer
    /// Whether the kernel counts the connections of each frontend (`--service-metrics`).
    package var countsConnections: Bool
    /// Whether the kernel can hash (`nft_hash`), which client affinity takes.
    package var remembersClients = true
    /// Only IPVS has any; its own dataplane adds them.
    package var draining: Set<DrainingDestination> = []
    /// What IPVS has left when nftables takes over from it; nil: it has nothing to do with this node.
    package var ipvsConnections: Set<IPVSConnection>?
    private var localDetection: LocalDetection

    package init(
        serviceCIDRs: [IPPrefix] = [],
        podCIDRs: [IPPrefix] = [],
        localDetection: LocalDetection = .none,
        balancer: Balancer = .nftables,
        countsConnections: Bool = false
    ) {
        self.serviceCIDRs = serviceCIDRs
        self.podCIDRs = podCIDRs
        self.localDetection = localDetection
        self.balancer = balancer
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

/// A destination that IPVS keeps for the last connections to a frontend that no Service has any more,
/// of an address that is not the node's.
package struct DrainingDestination: Sendable, Hashable {
    package let frontend: FrontendKey
    package let endpoint: IPAddress

    package init(_ frontend: FrontendKey, _ endpoint: IPAddress) {
        (self.frontend, self.endpoint) = (frontend, endpoint)
    }
}

/// A connection that IPVS has, or that it remembers for a while after its end.
package struct IPVSConnection: Sendable, Hashable {
    package let client: IPAddress
    package let clientPort: UInt16
    package let frontend: FrontendKey

    package init(_ client: IPAddress, _ clientPort: UInt16, _ frontend: FrontendKey) {
        (self.client, self.clientPort, self.frontend) = (client, clientPort, frontend)
    }
}

/// What gives connections their endpoints (`--mode`).
package enum Balancer: Sendable, Hashable {
    case nftables
    /// IPVS does, except for what no virtual server can: the pods and processes of the node that
    /// use a frontend with external traffic policy Local.
    case ipvs
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
