/// The two address families; each Service address and each kernel table belongs to one of them.
package enum IPFamily: UInt8, Sendable, Hashable, CaseIterable, Comparable {
    case ipv4 = 4
    case ipv6 = 6

    /// The length of an address in bits.
    package var bitWidth: Int { self == .ipv4 ? 32 : 128 }
    package var byteCount: Int { bitWidth / 8 }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

extension IPFamily: CustomStringConvertible {
    package var description: String { self == .ipv4 ? "IPv4" : "IPv6" }
}
