package import NetworkTypes

/// The parts of a core/v1 Node that the proxy on that node needs.
package struct Node: Sendable, Hashable {
    package var name: String
    /// The value of the label `topology.kubernetes.io/zone`.
    package var zone: String?
    package var podCIDRs: [IPPrefix] = []
    /// The addresses of `status.addresses`, InternalIP before ExternalIP.
    package var addresses: [IPAddress] = []
    /// Whether the node is about to go, so that load balancers should open no new connections to
    /// it.
    ///
    /// This is so when it is being deleted, or when the cluster autoscaler has tainted it
    /// (KEP-3836).
    package var isLeaving = false
    package var problems: [FieldProblem] = []

    package init(name: String) { self.name = name }
}

/// A networking.k8s.io/v1 ServiceCIDR: the blocks from which cluster IPs are allocated.
package struct ServiceCIDR: Sendable, Hashable {
    package var name: String
    package var cidrs: [IPPrefix] = []
    package var problems: [FieldProblem] = []

    package init(name: String) { self.name = name }
}
