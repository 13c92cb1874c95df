package import NetworkTypes
package import ServicePlan

/// What gives connections their endpoints.
package enum TableRole: Sendable, Hashable {
    /// The tables do.
    case balancer
    /// Another balancer does (IPVS, at the input hook), except for what no virtual server can: the
    /// pods and processes of the node that use a frontend with external traffic policy Local.
    case policy
}

/// What the tables of a node depend on beside the Services' plans.
package struct TableInputs: Sendable, Hashable {
    package var facts: NodeFacts
    package var role: TableRole
    /// Whether the kernel can hash (`nft_hash`), which client affinity takes.
    package var remembersClients = true
    /// What the other balancer keeps for last connections, beside tables in the role of policy.
    package var draining: Set<DrainingDestination> = []
    /// What the other balancer has left when the tables take over from it; nil: there is none.
    package var inherited: Set<InheritedConnection>?

    package init(_ facts: NodeFacts = NodeFacts(), role: TableRole = .balancer) {
        (self.facts, self.role) = (facts, role)
    }
}

/// A destination that the other balancer keeps for the last connections to a frontend that no Service
/// has any more, of an address that is not the node's.
package struct DrainingDestination: Sendable, Hashable {
    package let frontend: FrontendKey
    package let endpoint: IPAddress

    package init(_ frontend: FrontendKey, _ endpoint: IPAddress) {
        (self.frontend, self.endpoint) = (frontend, endpoint)
    }
}

/// A connection that the other balancer has, or that it remembers for a while after its end.
package struct InheritedConnection: Sendable, Hashable {
    package let client: AddressAndPort
    package let frontend: FrontendKey

    package init(_ client: AddressAndPort, _ frontend: FrontendKey) {
        (self.client, self.frontend) = (client, frontend)
    }
}
