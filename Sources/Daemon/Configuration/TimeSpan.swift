/// A duration in Go's notation: `1h30m`, `15m0s`, `500ms`, `0`.
package struct TimeSpan: Sendable, Hashable, CustomStringConvertible {
    package let seconds: Double

    package init(seconds: Double = 0) { self.seconds = seconds }

    package init(nanoseconds: Int) { self.init(whole: Double(nanoseconds) / 1e9) }

    /// Makes a duration of whole nanoseconds, since Go has no fractions of them.
    private init(whole seconds: Double) {
        self.seconds = abs(seconds) < 1e-3 ? (seconds * 1e9).rounded() / 1e9 : seconds
    }

    package init?(_ text: String) {
        var rest = text[...]
        let isNegative = rest.first == "-"
        if isNegative || rest.first == "+" { rest = rest.dropFirst() }
        if rest == "0" { rest = "0s" }
        guard !rest.isEmpty else { return nil }
        var total = 0.0
        while !rest.isEmpty {
            let number = rest.prefix { $0.isNumber || $0 == "." }
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let value = Double(number), let scale = Self.units[String(unit)] else {
                return nil
            }
            total += value * scale
        }
        // Go's limit is 292 years.
        guard total < 9.2e9 else { return nil }
        self.init(whole: isNegative ? -total : total)
    }

    private static let units = [
        "h": 3600.0, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9,
        // The micro sign, and the Greek letter.
        "\u{B5}s": 1e-6, "\u{3BC}s": 1e-6,
    ]

    package var description: String {
        if seconds != 0, abs(seconds) < 1e-3 { return "\(Int((seconds * 1e9).rounded()))ns" }
        guard seconds == seconds.rounded() else { return "\(seconds)s" }
        let whole = Int(abs(seconds))
        let (sign, hours, minutes) = (seconds < 0 ? "-" : "", whole / 3600, whole % 3600 / 60)
        if hours != 0 { return "\(sign)\(hours)h\(minutes)m\(whole % 60)s" }
        return sign + (minutes != 0 ? "\(minutes)m\(whole % 60)s" : "\(whole)s")
    }
}
