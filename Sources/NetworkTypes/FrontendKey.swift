/// The address, protocol and port that a client connects to.
package struct FrontendKey: Sendable, Hashable {
    package let address: IPAddress
    package let port: UInt16
    package let transport: TransportProtocol

    package init(_ address: IPAddress, _ transport: TransportProtocol, _ port: UInt16) {
        self.address = address
        self.transport = transport
        self.port = port
    }
}

extension FrontendKey: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        (left.address, left.port, left.transport) < (right.address, right.port, right.transport)
    }
}

extension FrontendKey: CustomStringConvertible {
    /// Text such as `10.96.0.10:53/udp` or `[fd00::a]:53/udp`.
    package var description: String { "\(hostAndPort(address, port))/\(transport)" }
}

/// Joins an address and a port; an IPv6 address is put in brackets.
package func hostAndPort(_ address: IPAddress, _ port: UInt16) -> String {
    address.family == .ipv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
}
