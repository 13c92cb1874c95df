package import NetworkTypes

/// What a proxy needs of its own core/v1 Node.
package struct Node: Sendable, Hashable {
    package var name: String
    /// Label `topology.kubernetes.io/zone`.
    package var zone: String?
    package var podCIDRs: [IPPrefix] = []
    /// `status.addresses`, InternalIP before ExternalIP.
    package var addresses: [IPAddress] = []
    /// It is about to go, so load balancers shall send no new connections: it is being deleted, or
    /// the cluster autoscaler has tainted it (KEP-3836).
    package var isLeaving = false
    package var problems: [FieldProblem] = []

    package init(name: String) { self.name = name }
}

/// A networking.k8s.io/v1 ServiceCIDR: where cluster IPs come from.
package struct ServiceCIDR: Sendable, Hashable {
    package var name: String
    package var cidrs: [IPPrefix] = []
    package var problems: [FieldProblem] = []

    package init(name: String) { self.name = name }
}
