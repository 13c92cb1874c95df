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

extension FrontendKey {
    package var place: AddressAndPort { AddressAndPort(address, port) }
}

extension FrontendKey: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        (left.address, left.port, left.transport) < (right.address, right.port, right.transport)
    }
}

extension FrontendKey: CustomStringConvertible {
    /// `10.96.0.10:53/udp`, `[fd00::a]:53/udp`.
    package var description: String { "\(place)/\(transport)" }
}
