extension IPAddress {
    /// Parses dotted or colon notation.
    ///
    /// A part of an IPv4 address with leading zeros is read as decimal, never as octal: old
    /// Kubernetes objects hold such addresses, and the API server reads them this way
    /// (`ParseIPSloppy`).
    package init?(_ text: some StringProtocol) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let groups = Self.ipv6Groups(Array(text.utf8)[...]) else { return nil }
            let words = groups.map(UInt64.init)
            let high = words[0] << 48 | words[1] << 32 | words[2] << 16 | words[3]
            let low = words[4] << 48 | words[5] << 32 | words[6] << 16 | words[7]
            if high == 0, low >> 32 == 0xFFFF {
                self.init(ipv4: UInt32(truncatingIfNeeded: low))
            } else {
                self.init(ipv6High: high, low: low)
            }
        } else {
            guard let value = Self.ipv4Value(Array(text.utf8)[...]) else { return nil }
            self.init(ipv4: value)
        }
    }

    private static func ipv4Value(_ text: ArraySlice<UInt8>) -> UInt32? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard let byte = decimalByte(part) else { return nil }
            value = value << 8 | UInt32(byte)
        }
        return value
    }

    private static func decimalByte(_ digits: ArraySlice<UInt8>) -> UInt8? {
        guard !digits.isEmpty, digits.count <= 10 else { return nil }
        var value = 0
        for digit in digits {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            value = value * 10 + Int(digit - UInt8(ascii: "0"))
            guard value <= 255 else { return nil }
        }
        return UInt8(value)
    }

    /// The eight groups of an IPv6 address; nil if the text is not one.
    private static func ipv6Groups(_ text: ArraySlice<UInt8>) -> [UInt16]? {
        let colon = UInt8(ascii: ":")
        guard let gap = firstDoubleColon(text) else {
            guard let groups = groupList(text), groups.count == 8 else { return nil }
            return groups
        }
        let tail = text[(gap + 2)...]
        guard firstDoubleColon(tail) == nil, tail.first != colon,
            let front = groupList(text[..<gap], mayEndInIPv4: false), let back = groupList(tail),
            front.count + back.count <= 7
        else { return nil }
        return front + Array(repeating: 0, count: 8 - front.count - back.count) + back
    }

    private static func firstDoubleColon(_ text: ArraySlice<UInt8>) -> Int? {
        text.indices.dropLast().first {
            text[$0] == UInt8(ascii: ":") && text[$0 + 1] == UInt8(ascii: ":")
        }
    }

    /// Groups separated by colons, the last of which may be an IPv4 address; empty text has no
    /// groups.
    private static func groupList(
        _ text: ArraySlice<UInt8>,
        mayEndInIPv4: Bool = true
    ) -> [UInt16]? {
        guard !text.isEmpty else { return [] }
        var groups: [UInt16] = []
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if mayEndInIPv4, index == parts.count - 1, part.contains(UInt8(ascii: ".")) {
                guard let value = ipv4Value(part) else { return nil }
                groups += [UInt16(value >> 16), UInt16(truncatingIfNeeded: value)]
            } else {
                guard (1...4).contains(part.count),
                    let group = UInt16(String(decoding: part, as: UTF8.self), radix: 16),
                    part.first != UInt8(ascii: "+")
                else { return nil }
                groups.append(group)
            }
        }
        return groups
    }
}

extension IPAddress: CustomStringConvertible {
    /// Dotted notation for IPv4, and the canonical form of RFC 5952 for IPv6.
    package var description: String {
        guard family == .ipv6 else {
            return "\(low >> 24).\(low >> 16 & 0xFF).\(low >> 8 & 0xFF).\(low & 0xFF)"
        }
        let groups = [high, low].flatMap { word in
            [48, 32, 16, 0].map { String(word >> UInt64($0) & 0xFFFF, radix: 16) }
        }
        guard let gap = longestZeroRun(groups) else { return groups.joined(separator: ":") }
        let front = groups[..<gap.lowerBound].joined(separator: ":")
        let back = groups[gap.upperBound...].joined(separator: ":")
        return "\(front)::\(back)"
    }

    /// The first of the longest runs of two or more zero groups.
    private func longestZeroRun(_ groups: [String]) -> Range<Int>? {
        var best: Range<Int>?
        var start = 0
        while start < groups.count {
            let end = groups[start...].firstIndex { $0 != "0" } ?? groups.count
            if end - start >= 2, end - start > best?.count ?? 0 { best = start..<end }
            start = max(end, start + 1)
        }
        return best
    }
}
