internal import KubernetesModel
package import NetworkTypes

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
    /// The flag `--masquerade-all`.
    package var masqueradesAll: Bool
    /// Feature gate AllowServiceExternalIPs (KEP-5707): off, `spec.externalIPs` are left out.
    package var allowsExternalIPs: Bool

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
