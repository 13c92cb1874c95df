/// A CIDR block; all bits of the base after the prefix length are zero.
package struct IPPrefix: Sendable, Hashable {
    package let base: IPAddress
    package let length: UInt8

    /// Clears the host bits of the address; nil if the length does not fit the family.
    package init?(_ address: IPAddress, length: Int) {
        guard (0...address.family.bitWidth).contains(length) else { return nil }
        self.length = UInt8(length)
        let (high, low) = Self.hostMask(address.family, length)
        base =
            address.family == .ipv4
            ? IPAddress(ipv4: UInt32(address.low & ~low))
            : IPAddress(ipv6High: address.high & ~high, low: address.low & ~low)
    }

    /// Makes the prefix that holds one address only.
    package init(host address: IPAddress) {
        base = address
        length = UInt8(address.family.bitWidth)
    }

    /// Parses `address/length`; white space around it is ignored, as Kubernetes does for every
    /// block (`strings.TrimSpace` of Go: Unicode's property White_Space).
    package init?(_ text: some StringProtocol) {
        var scalars = Substring(text).unicodeScalars.drop(while: \.properties.isWhitespace)
        while scalars.last?.properties.isWhitespace == true { scalars.removeLast() }
        let parts = Substring(scalars).split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(parts[0]), let length = Int(parts[1]),
            parts[1].utf8.allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains)
        else { return nil }
        self.init(address, length: length)
    }

    package var family: IPFamily { base.family }

    /// The highest address of the block.
    package var last: IPAddress {
        let (high, low) = Self.hostMask(family, Int(length))
        return family == .ipv4
            ? IPAddress(ipv4: UInt32(base.low | low))
            : IPAddress(ipv6High: base.high | high, low: base.low | low)
    }

    package func contains(_ address: IPAddress) -> Bool {
        address.family == family && base <= address && address <= last
    }

    package func contains(_ other: IPPrefix) -> Bool {
        length <= other.length && contains(other.base)
    }

    /// The prefixes that no other prefix contains, sorted; an interval set can hold these.
    package static func aggregated(_ prefixes: some Sequence<IPPrefix>) -> [IPPrefix] {
        var kept: [IPPrefix] = []
        for prefix in prefixes.sorted() where kept.last?.contains(prefix) != true {
            kept.append(prefix)
        }
        return kept
    }

    private static func hostMask(_ family: IPFamily, _ length: Int) -> (high: UInt64, low: UInt64) {
        let hostBits = family.bitWidth - length
        // Swift's smart shift gives 0 when all bits are shifted out.
        let low: UInt64 = hostBits >= 64 ? .max : (1 << UInt64(hostBits)) - 1
        let high: UInt64 =
            hostBits <= 64 ? 0 : hostBits == 128 ? .max : (1 << UInt64(hostBits - 64)) - 1
        return (high, low)
    }
}

extension IPPrefix: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        (left.base, left.length) < (right.base, right.length)
    }
}

extension IPPrefix: CustomStringConvertible {
    package var description: String { "\(base)/\(length)" }
}
