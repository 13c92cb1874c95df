/// The UID of an object, which tells it from others that have had its name.
///
/// API servers give UUIDs; any other text is not kept.
package struct ObjectUID: Sendable, Hashable {
    private let high, low: UInt64

    /// Reads the 36 characters of a UUID in lower case.
    package init?(_ text: String) {
        let groups = text.split(separator: "-", omittingEmptySubsequences: false)
        let digits = groups.joined()
        guard groups.map(\.count) == [8, 4, 4, 4, 12],
            let high = UInt64(digits.prefix(16), radix: 16),
            let low = UInt64(digits.suffix(16), radix: 16)
        else { return nil }
        (self.high, self.low) = (high, low)
        guard description == text else { return nil }
    }
}

extension ObjectUID: CustomStringConvertible {
    package var description: String {
        let digits = [high, low].map { word in
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }.joined()
        var rest = digits[...]
        return [8, 4, 4, 4, 12].map { count in
            defer { rest = rest.dropFirst(count) }
            return String(rest.prefix(count))
        }.joined(separator: "-")
    }
}
