package import IPVS
package import NetworkTypes

/// What an operator says of IPVS.
package struct IPVSSettings: Sendable {
    package var defaults = BalancingDefaults()
    /// Virtual servers with these addresses are never removed.
    package var excludedCIDRs: [IPPrefix] = []
    package var strictARP = false
    /// Seconds; 0 leaves the kernel's.
    package var tcpTimeout: UInt32 = 0
    package var tcpFINTimeout: UInt32 = 0
    package var udpTimeout: UInt32 = 0
    /// Seconds for which removed destinations keep their connections; 0: they do not.
    package var drainTimeout = 900.0
    /// Everything is read back and compared so often: IPVS notifies nobody.
    package var syncPeriod = Duration.seconds(30)
    /// What kube-proxy's mode ipvs has left is taken over, in either mode.
    package var takesOver = false

    package init() {}
}
