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
    /// The flag `--masquerade-all`.
    package var masqueradesAll: Bool
    /// Feature gate AllowServiceExternalIPs (KEP-5707): off, `spec.externalIPs` are left out.
    package var allowsExternalIPs: Bool
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
}
