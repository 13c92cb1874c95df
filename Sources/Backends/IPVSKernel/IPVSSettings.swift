package import IPVS
package import NetworkTypes

/// The operator's settings for IPVS.
package struct IPVSSettings: Sendable {
    package var defaults = BalancingDefaults()
    /// Virtual servers with these addresses are never removed.
    package var excludedCIDRs: [IPPrefix] = []
    package var strictARP = false
    /// The timeouts of idle connections in seconds; 0 keeps the kernel's value.
    package var tcpTimeout: UInt32 = 0
    package var tcpFINTimeout: UInt32 = 0
    package var udpTimeout: UInt32 = 0
    /// How long removed destinations keep their connections, in seconds; 0 ends them at once.
    package var drainTimeout = 900.0
    /// How often everything is read back and compared, since IPVS sends no notifications.
    package var syncPeriod = Duration.seconds(30)
    /// Whether to take over what kube-proxy's mode ipvs has left, in either mode.
    package var takesOver = false

    package init() {}
}
