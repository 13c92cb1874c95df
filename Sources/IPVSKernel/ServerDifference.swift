package import IPVS
package import NetworkTypes
package import ServicePlan

/// What a commit of everything would do in IPVS and on its device.
package struct ServerDifference: Sendable {
    package let operations: [ServerOperation]
    package let bound: Set<IPAddress>
    package let unbound: Set<IPAddress>
    /// For the rules.
    package let draining: Set<DrainingDestination>
    /// Whether the rules leave connections to IPVS.
    package let leavesConnections: Bool
}
