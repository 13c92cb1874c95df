package import NetworkTypes
package import ServicePlan

/// The role of the tables: whether they or another balancer choose endpoints.
package enum TableRole: Sendable, Hashable {
    /// The tables choose the endpoints of all connections.
    case balancer
    /// Another balancer (IPVS, at the input hook) chooses the endpoints.
    ///
    /// The tables choose only for pods and processes of the node that use a frontend with external
    /// traffic policy Local, which a virtual server cannot do.
    case policy
}

/// Everything that the tables of a node depend on, except the Services' plans.
package struct TableInputs: Sendable, Hashable {
    package var facts: NodeFacts
    package var role: TableRole
    /// Whether the kernel can hash in rules (`nft_hash`), which client affinity needs.
    package var remembersClients = true
    /// The destinations that the other balancer keeps for their last connections; used in the role
    /// `policy`.
    package var draining: Set<DrainingDestination> = []
    /// The connections of another balancer from which the tables take over; nil if there is no such
    /// balancer.
    package var inherited: Set<InheritedConnection>?

    package init(_ facts: NodeFacts = NodeFacts(), role: TableRole = .balancer) {
        (self.facts, self.role) = (facts, role)
    }
}

/// A destination that the other balancer keeps for the last connections to a former frontend whose
/// address is not the node's.
package struct DrainingDestination: Sendable, Hashable {
    package let frontend: FrontendKey
    package let endpoint: IPAddress

    package init(_ frontend: FrontendKey, _ endpoint: IPAddress) {
        (self.frontend, self.endpoint) = (frontend, endpoint)
    }
}

/// A connection that the other balancer has, or that has ended and that it still remembers.
package struct InheritedConnection: Sendable, Hashable {
    package let client: AddressAndPort
    package let frontend: FrontendKey

    package init(_ client: AddressAndPort, _ frontend: FrontendKey) {
        (self.client, self.frontend) = (client, frontend)
    }
}
