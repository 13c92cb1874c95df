internal import KubernetesModel
package import NetworkTypes
internal import ServicePlan

/// What the compiler knows of the node it compiles for.
package struct NodeView: Sendable, Hashable {
    package var name: String
    /// Label `topology.kubernetes.io/zone` of the Node.
    package var zone: String?
    /// The node's addresses that answer on NodePorts.
    package var nodePortAddresses: [IPAddress]
    /// The loopback addresses where the daemon's forwarder answers on NodePorts.
    package var localhostAddresses: [IPAddress] = []
    /// The node's primary addresses, one of each family at most.
    package var primaryAddresses: [IPAddress]
    /// Those by which the cluster knows the node: of its Node object, and by flags.
    package var ownAddresses: Set<IPAddress> = []
    /// Those, and all of the node's interfaces.
    package var addresses: Set<IPAddress> = []
    /// The flag `--masquerade-all`.
    package var masqueradesAll: Bool
    /// Feature gate AllowServiceExternalIPs (KEP-5707): off, `spec.externalIPs` are left out.
    package var allowsExternalIPs: Bool
    /// Whether `spec.externalIPs` may be the node's own addresses.
    package var allowsNodeAddresses = false
    /// By which the API servers are reached; nothing but a cluster IP may be there.
    package var apiServers: Set<FrontendKey> = []
    /// TCP ports at the node's addresses that no external IP or load balancer VIP may take, and what
    /// they serve.
    package var protectedPorts: [UInt16: String] = [:]
    /// As many endpoints of a pool as get connections; nil: all.
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

    /// Where the daemon's forwarder serves a port; nil: it does not.
    func forwardedKey(of port: ServicePort, _ family: IPFamily) -> FrontendKey? {
        // SCTP has no sockets of the kind in many kernels, and hardly a client on a node.
        guard let number = port.nodePort, port.transport != .sctp,
            let address = localhostAddresses.first(where: { $0.family == family })
        else { return nil }
        return FrontendKey(address, port.transport, number)
    }
}
