/// The two address families; each Service address and each kernel table belongs to one of them.
package enum IPFamily: UInt8, Sendable, Hashable, CaseIterable, Comparable {
    case ipv4 = 4
    case ipv6 = 6

    /// The length of an address in bits.
    package var bitWidth: Int { self == .ipv4 ? 32 : 128 }
    package var byteCount: Int { bitWidth / 8 }

    /// The kernel's `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    package var netfilterFamily: UInt8 { self == .ipv4 ? 2 : 10 }

    package init?(netfilterFamily: UInt8) {
        switch netfilterFamily {
        case 2: self = .ipv4
        case 10: self = .ipv6
        default: return nil
        }
    }

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

extension IPFamily: CustomStringConvertible {
    package var description: String { self == .ipv4 ? "IPv4" : "IPv6" }
}
