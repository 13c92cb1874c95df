package import NetworkTypes

/// What the node's routes say, as far as a packet's way depends on it.
package struct Routing: Sendable {
    package enum Way: Sendable, Hashable {
        /// To the node itself.
        case input
        case forward(interface: String)
        case nowhere
    }

    /// Some of `RTN_…` of `linux/rtnetlink.h`.
    package enum AddressType: UInt32, Sendable {
        case unicast = 1, local, broadcast, anycast, multicast, blackhole, unreachable, prohibit
    }

    /// Nil: unknown.
    package var addressType: @Sendable (IPAddress) -> AddressType?
    /// Where a packet goes, with the mark that it has; nil: unknown.
    package var way: @Sendable (Packet) -> Way?
    /// The address that masquerading gives a packet, whose output interface is known by then.
    package var masqueradeAddress: @Sendable (Packet) -> IPAddress?
    /// The number of an interface.
    package var interfaceIndex: @Sendable (String) -> UInt32?
    /// Whether an interface is a bridge with `br_netfilter`: postrouting then does not see on which
    /// interface a packet arrived that leaves on the same bridge.
    package var isFilteredBridge: @Sendable (String) -> Bool

    package init(
        addressType: @escaping @Sendable (IPAddress) -> AddressType?,
        way: @escaping @Sendable (Packet) -> Way?,
        masqueradeAddress: @escaping @Sendable (Packet) -> IPAddress? = { _ in nil },
        interfaceIndex: @escaping @Sendable (String) -> UInt32? = { _ in nil },
        isFilteredBridge: @escaping @Sendable (String) -> Bool = { _ in false }
    ) {
        (self.addressType, self.way) = (addressType, way)
        self.masqueradeAddress = masqueradeAddress
        self.interfaceIndex = interfaceIndex
        self.isFilteredBridge = isFilteredBridge
    }
}
