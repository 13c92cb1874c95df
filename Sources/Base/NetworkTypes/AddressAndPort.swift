/// Where an endpoint, or a client's end of a connection, is.
package struct AddressAndPort: Sendable, Hashable {
    package let address: IPAddress
    package let port: UInt16

    package init(_ address: IPAddress, _ port: UInt16) {
        (self.address, self.port) = (address, port)
    }
}

extension AddressAndPort: Encodable {
    /// Encodes it as its text.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension AddressAndPort: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        (left.address, left.port) < (right.address, right.port)
    }
}

extension AddressAndPort: CustomStringConvertible {
    /// `10.96.0.10:53`, `[fd00::a]:53`.
    package var description: String {
        address.family == .ipv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
    }
}
