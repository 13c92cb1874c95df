package import Yams

/// A value that a field of the file can have.
package protocol SettingValue: Sendable, Hashable {
    /// What is expected, for errors: `a duration, as in 30s`.
    static var expectation: String { get }
    /// What Go would call empty, and the file's defaults replace.
    var isZero: Bool { get }
    init?(yaml: Yams.Node)
    /// As YAML, on one line.
    var yaml: String { get }
    var json: String { get }
}

extension SettingValue {
    package var json: String { yaml }
}

extension String: SettingValue {
    package static let expectation = "text"
    package var isZero: Bool { isEmpty }
    package init?(yaml: Yams.Node) {
        guard let scalar = yaml.scalar else { return nil }
        self = scalar.string
    }
    package var yaml: String {
        let isPlain =
            allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "/._-".contains($0)) }
            && first?.isLetter == true && !Self.words.contains(lowercased())
        return isPlain ? self : yamlQuoted
    }

    /// What YAML 1.1 takes for something else than text.
    private static let words: Set = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]

    /// In quotes, as in JSON.
    var yamlQuoted: String {
        let escaped = unicodeScalars.map { scalar in
            switch scalar {
            case "\\", "\"": "\\\(scalar)"
            case "\u{20}"..."\u{7E}", "\u{A0}"..."\u{2027}", "\u{202A}"..."\u{D7FF}",
                "\u{E000}"..."\u{FEFE}", "\u{FF00}"..."\u{FFFD}", "\u{10000}"..."\u{10FFFF}":
                String(scalar)
            default:
                "\\u" + String(repeating: "0", count: 4 - String(scalar.value, radix: 16).count)
                    + String(scalar.value, radix: 16)
            }
        }
        return "\"\(escaped.joined())\""
    }

    package var json: String { yamlQuoted }
}

extension Bool: SettingValue {
    package static let expectation = "true or false"
    package var isZero: Bool { !self }
    package init?(yaml: Yams.Node) {
        guard yaml.tag == Tag(.bool), let value = yaml.bool else { return nil }
        self = value
    }
    package var yaml: String { "\(self)" }
}

extension Int: SettingValue {
    package static let expectation = "a whole number"
    package var isZero: Bool { self == 0 }
    package init?(yaml: Yams.Node) {
        guard let text = yaml.scalar?.string, let value = Int(text) else { return nil }
        self = value
    }
    package var yaml: String { "\(self)" }
}

extension Double: SettingValue {
    package static let expectation = "a number"
    package var isZero: Bool { self == 0 }
    package init?(yaml: Yams.Node) {
        guard let text = yaml.scalar?.string, let value = Double(text) else { return nil }
        self = value
    }
    package var yaml: String { self == rounded() && abs(self) < 1e9 ? "\(Int(self))" : "\(self)" }
}

extension TimeSpan: SettingValue {
    package static let expectation = "a duration, as in 1m30s"
    package var isZero: Bool { seconds == 0 }
    package init?(yaml: Yams.Node) {
        guard let text = yaml.scalar?.string else { return nil }
        self.init(text)
    }
    package var yaml: String { description }
    package var json: String { description.yamlQuoted }
}

extension [String]: SettingValue {
    package static let expectation = "a list of words"
    package var isZero: Bool { isEmpty }
    package init?(yaml: Yams.Node) {
        guard let sequence = yaml.sequence else { return nil }
        let words = sequence.map { node in
            // An entry of `vmodule` is a mapping.
            node.scalar?.string
                ?? node.mapping?.map { "\($1.scalar?.string ?? "")" }.joined(separator: "=")
        }
        self = words.compactMap(\.self)
        guard count == words.count else { return nil }
    }
    package var yaml: String { "[\(map(\.yaml).joined(separator: ", "))]" }
    package var json: String { "[\(map(\.yamlQuoted).joined(separator: ","))]" }
}

extension [String: Bool]: SettingValue {
    package static let expectation = "a map of names to true or false"
    package var isZero: Bool { isEmpty }
    package init?(yaml: Yams.Node) {
        guard let mapping = yaml.mapping else { return nil }
        self = [:]
        for (key, value) in mapping {
            guard let name = key.scalar?.string, let flag = value.bool else { return nil }
            self[name] = flag
        }
    }
    package var yaml: String {
        "{\(sorted { $0.key < $1.key }.map { "\($0.key.yaml): \($0.value)" }.joined(separator: ", "))}"
    }
    package var json: String {
        "{\(sorted { $0.key < $1.key }.map { "\($0.key.yamlQuoted):\($0.value)" }.joined(separator: ","))}"
    }
}
