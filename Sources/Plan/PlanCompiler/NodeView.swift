internal import KubernetesModel
package import NetworkTypes
internal import ServicePlan

/// The facts about a node that the compiler needs.
package struct NodeView: Sendable, Hashable {
    package var name: String
    /// The label `topology.kubernetes.io/zone` of the Node.
    package var zone: String?
    /// The node's addresses on which NodePorts answer.
    package var nodePortAddresses: [IPAddress]
    /// The loopback addresses on which the daemon's forwarder answers for NodePorts.
    package var localhostAddresses: [IPAddress] = []
    /// The node's primary addresses, at most one of each family.
    package var primaryAddresses: [IPAddress]
    /// The addresses by which the cluster knows the node, from its Node object and from flags.
    package var ownAddresses: Set<IPAddress> = []
    /// The `ownAddresses`, and all addresses of the node's interfaces.
    package var addresses: Set<IPAddress> = []
    /// The value of the flag `--masquerade-all`.
    package var masqueradesAll: Bool
    /// The feature gate AllowServiceExternalIPs (KEP-5707); if off, `spec.externalIPs` are left
    /// out.
    package var allowsExternalIPs: Bool
    /// Whether `spec.externalIPs` may be the node's own addresses.
    package var allowsNodeAddresses = false
    /// The addresses and ports of the API servers, which only a cluster IP may use.
    package var apiServers: Set<FrontendKey> = []
    /// The TCP ports at the node's addresses that no external IP or load balancer VIP may take, and
    /// their users.
    package var protectedPorts: [UInt16: String] = [:]
    /// The largest number of endpoints in a pool that get connections; nil for no limit.
    package var largestPool: Int? = Pool.largestSize

    package init(
        name: String,
        zone: String? = nil,
        nodePortAddresses: [IPAddress] = [],
        primaryAddresses: [IPAddress] = [],
        masqueradesAll: Bool = false,
        allowsExternalIPs: Bool = true
    ) {
        self.name = name
        self.zone = zone
        self.nodePortAddresses = nodePortAddresses
        self.primaryAddresses = primaryAddresses
        self.masqueradesAll = masqueradesAll
        self.allowsExternalIPs = allowsExternalIPs
    }

    /// Returns the key at which the daemon's forwarder serves a port; nil if it does not serve it.
    func forwardedKey(of port: ServicePort, _ family: IPFamily) -> FrontendKey? {
        // Many kernels lack SCTP sockets, and clients for it on a node are rare.
        guard let number = port.nodePort, port.transport != .sctp,
            let address = localhostAddresses.first(where: { $0.family == family })
        else { return nil }
        return FrontendKey(address, port.transport, number)
    }
}
