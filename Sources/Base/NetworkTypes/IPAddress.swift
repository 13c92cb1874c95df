/// An IPv4 or IPv6 address, stored as a number in host byte order without heap storage.
///
/// An IPv4-mapped IPv6 address (`::ffff:1.2.3.4`) is the IPv4 address, as in Go's `net` package,
/// whose parser the Kubernetes API uses.
package struct IPAddress: Sendable, Hashable {
    /// The upper 64 bits; zero for IPv4.
    package let high: UInt64
    /// The lower 64 bits; the whole address for IPv4.
    package let low: UInt64
    package let family: IPFamily

    package init(ipv4 value: UInt32) {
        high = 0
        low = UInt64(value)
        family = .ipv4
    }

    package init(ipv6High high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
        family = .ipv6
    }

    /// Reads 4 or 16 bytes in network byte order; nil for any other count.
    package init?(networkOrder bytes: some Collection<UInt8>) {
        switch bytes.count {
        case 4: self.init(ipv4: bytes.reduce(0) { $0 << 8 | UInt32($1) })
        case 16:
            self.init(
                ipv6High: bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) },
                low: bytes.dropFirst(8).reduce(0) { $0 << 8 | UInt64($1) }
            )
        default: return nil
        }
    }

    /// The address in network byte order, 4 or 16 bytes.
    package var networkOrderBytes: [UInt8] {
        let word = { (value: UInt64) in
            (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) }
        }
        return family == .ipv4 ? Array(word(low).suffix(4)) : word(high) + word(low)
    }
}

extension IPAddress: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        (left.family, left.high, left.low) < (right.family, right.high, right.low)
    }
}

// MARK: - Kinds of addresses

extension IPAddress {
    package var isUnspecified: Bool { high == 0 && low == 0 }

    package var isLoopback: Bool {
        family == .ipv4 ? low >> 24 == 127 : high == 0 && low == 1
    }

    /// Whether the address is in 169.254.0.0/16 or fe80::/10.
    package var isLinkLocal: Bool {
        family == .ipv4 ? low >> 16 == 0xA9FE : high >> 54 == 0xFE80 >> 6
    }

    /// Whether the address is in 224.0.0.0/4 or ff00::/8.
    package var isMulticast: Bool {
        family == .ipv4 ? low >> 28 == 0xE : high >> 56 == 0xFF
    }

    package var isLimitedBroadcast: Bool { family == .ipv4 && low == 0xFFFF_FFFF }

    /// The reason why no Service may use this address as a virtual IP or an endpoint; nil if it
    /// may.
    ///
    /// The reasons are those of Kubernetes' `ValidateEndpointIP`
    /// (`pkg/apis/core/validation/validation.go`), plus the broadcast address.
    package var reasonNotForServices: String? {
        if isUnspecified { return "is the unspecified address" }
        if isLoopback { return "is a loopback address" }
        if isLinkLocal { return "is a link-local address" }
        if isMulticast { return "is a multicast address" }
        if isLimitedBroadcast { return "is the broadcast address" }
        return nil
    }
}
