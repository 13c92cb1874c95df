package import YAML

/// The reason why a value of the file or of a flag was not accepted.
package struct MisreadValue: Error, Sendable, Hashable {
    /// The place within the value: `.NAME` in a map, `[2]` in a list; empty for the whole value.
    var place = ""
    let reason: String
    var line: Int?

    init(_ reason: String, at place: String = "", line: Int? = nil) {
        (self.place, self.reason, self.line) = (place, reason, line)
    }
}

/// A type of value that a field of the file and a flag can have.
package protocol SettingValue: Sendable, Hashable {
    /// The expected form, for errors, such as `a duration, as in 1m30s`.
    static var expectation: String { get }
    /// Whether Go would call the value empty, so that the file's default replaces it.
    var isZero: Bool { get }
    static func read(_ node: YAMLNode) throws(MisreadValue) -> Self
    /// Reads the values given for a flag, in order, by pflag's rules: the last value of a scalar
    /// counts, and lists and maps accumulate.
    static func read(flag values: [String]) throws(MisreadValue) -> Self
    /// The value as YAML, on one line.
    var yaml: String { get }
    var json: String { get }
}

/// A value that is a single word.
package protocol ScalarValue: SettingValue {
    init?(scalar: YAMLScalar)
    /// Reads a word as Go's `strconv` does.
    init?(word: String)
}

extension SettingValue {
    package var json: String { yaml }
}

extension ScalarValue {
    package static func read(_ node: YAMLNode) throws(MisreadValue) -> Self {
        guard let scalar = node.scalar, let value = Self(scalar: scalar) else {
            throw MisreadValue("\(node.told) not \(expectation)")
        }
        return value
    }

    package static func read(flag values: [String]) throws(MisreadValue) -> Self {
        var last: Self?
        for word in values {
            guard let value = Self(word: word) else {
                throw MisreadValue("\(word.quoted) is not \(expectation)")
            }
            last = value
        }
        guard let last else { throw MisreadValue("has no value") }
        return last
    }
}

extension YAMLNode {
    var kindName: String {
        if isNull { return "null" }
        return mapping != nil ? "a map" : sequence != nil ? "a list" : "a word"
    }

    /// The beginning of an error about the node, such as `"a" is` or `is a list,`.
    var told: String { scalar.map { "\($0.text.quoted) is" } ?? "is \(kindName)," }
}

extension String: ScalarValue {
    package static let expectation = "text"
    package var isZero: Bool { isEmpty }
    package init?(scalar: YAMLScalar) { self = scalar.text }
    package init?(word: String) { self = word }
    package var yaml: String {
        let isPlain =
            allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "/._-".contains($0)) }
            && first?.isLetter == true && !Self.words.contains(lowercased())
        return isPlain ? self : quoted
    }

    /// The words that YAML 1.1 does not read as text.
    private static let words: Set = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]

    /// The text in quotation marks, escaped as in JSON, so that it always takes one line.
    package var quoted: String {
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

    package var json: String { quoted }
}

extension Bool: ScalarValue {
    package static let expectation = "true or false"
    package var isZero: Bool { !self }

    /// Reads the boolean words of YAML 1.1, as Go's YAML library does; a quoted word is text.
    package init?(scalar: YAMLScalar) {
        guard scalar.isPlain else { return nil }
        switch scalar.text {
        case "true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y": self = true
        case "false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N":
            self = false
        default: return nil
        }
    }

    /// Reads the words that `strconv.ParseBool` accepts.
    package init?(word: String) {
        switch word {
        case "1", "t", "T", "TRUE", "true", "True": self = true
        case "0", "f", "F", "FALSE", "false", "False": self = false
        default: return nil
        }
    }

    package var yaml: String { "\(self)" }
}

extension Int: ScalarValue {
    package static let expectation = "a whole number"
    package var isZero: Bool { self == 0 }

    /// Reads an integer, or a number without a fraction such as `32768.0`, which JSON may contain.
    package init?(scalar: YAMLScalar) {
        if let value = Int(word: scalar.text) {
            self = value
        } else if let number = Double(scalar.text), let value = Int(exactly: number) {
            self = value
        } else {
            return nil
        }
    }

    /// Reads what `strconv.ParseInt` accepts in base 0: `-998`, `0x10`, `0o17`, `017`, `0b1`,
    /// `1_000`.
    package init?(word: String) {
        let isNegative = word.hasPrefix("-")
        let digits = isNegative || word.hasPrefix("+") ? word.dropFirst() : word[...]
        let start = digits.prefix(2).lowercased()
        let (radix, prefix) =
            ["0x": (16, 2), "0o": (8, 2), "0b": (2, 2)][start]
            ?? (digits.count > 1 && digits.hasPrefix("0") ? (8, 1) : (10, 0))
        let rest = digits.dropFirst(prefix).replacing("_", with: "")
        // The sign is put back before parsing, so that the lowest number can be read.
        guard rest.first.map({ $0 != "-" && $0 != "+" }) == true,
            let value = Int((isNegative ? "-" : "") + rest, radix: radix)
        else { return nil }
        self = value
    }

    package var yaml: String { "\(self)" }
}

extension Double: ScalarValue {
    package static let expectation = "a number"
    package var isZero: Bool { self == 0 }
    package init?(scalar: YAMLScalar) { self.init(word: scalar.text) }
    package init?(word: String) {
        guard let value = Double(word), value.isFinite else { return nil }
        self = value
    }
    package var yaml: String { self == rounded() && abs(self) < 1e9 ? "\(Int(self))" : "\(self)" }
}

extension TimeSpan: ScalarValue {
    package static let expectation = "a duration, as in 1m30s"
    package var isZero: Bool { seconds == 0 }
    package init?(scalar: YAMLScalar) { self.init(scalar.text) }
    package init?(word: String) { self.init(word) }
    package var yaml: String { description }
    package var json: String { description.quoted }

    /// Reads a duration, or a whole number of nanoseconds (`TimeOrMetaDuration` of component-base).
    package static func readWithNanoseconds(_ node: YAMLNode) throws(MisreadValue) -> TimeSpan {
        if let scalar = node.scalar, scalar.isPlain, let count = Int(scalar: scalar) {
            return TimeSpan(nanoseconds: count)
        }
        return try read(node)
    }
}

extension [String]: SettingValue {
    package static let expectation = "a list of words"
    package var isZero: Bool { isEmpty }

    package static func read(_ node: YAMLNode) throws(MisreadValue) -> [String] {
        guard let sequence = node.sequence else {
            throw MisreadValue("\(node.told) not \(expectation)")
        }
        var words: [String] = []
        for (index, element) in sequence.enumerated() {
            guard let scalar = element.scalar else {
                throw MisreadValue(
                    "is \(element.kindName), not a word",
                    at: "[\(index)]",
                    line: element.line
                )
            }
            words.append(scalar.text)
        }
        return words
    }

    package static func read(flag values: [String]) throws(MisreadValue) -> [String] {
        values.flatMap(\.commaSeparated)
    }

    /// Reads the entries of `logging.vmodule`, which are maps: `{filePattern: a, verbosity: 1}`.
    static func readModules(_ node: YAMLNode) throws(MisreadValue) -> [String] {
        guard let sequence = node.sequence else { return try read(node) }
        return sequence.map { entry in
            entry.text
                ?? ["filePattern", "verbosity"].map { entry[$0]?.text ?? "" }.joined(separator: "=")
        }
    }

    package var yaml: String { "[\(map(\.yaml).joined(separator: ", "))]" }
    package var json: String { "[\(map(\.quoted).joined(separator: ","))]" }
}

extension [String: Bool]: SettingValue {
    package static let expectation = "a map of names to true or false"
    package var isZero: Bool { isEmpty }

    package static func read(_ node: YAMLNode) throws(MisreadValue) -> [String: Bool] {
        guard let mapping = node.mapping else {
            throw MisreadValue("\(node.told) not \(expectation)")
        }
        var result: [String: Bool] = [:]
        // If a name occurs several times, the last one counts.
        for entry in mapping {
            do throws(MisreadValue) {
                result[entry.key] = try Bool.read(entry.value)
            } catch {
                throw MisreadValue(error.reason, at: ".\(entry.key.yaml)", line: entry.line)
            }
        }
        return result
    }

    package static func read(flag values: [String]) throws(MisreadValue) -> [String: Bool] {
        var result: [String: Bool] = [:]
        for pair in values.flatMap(\.commaSeparated) where !pair.isEmpty {
            let parts = pair.split(separator: "=", maxSplits: 1).map { "\($0)".trimmed }
            guard parts.count == 2, let value = Bool(word: parts[1]) else {
                throw MisreadValue("\(pair.quoted) is not NAME=true or NAME=false")
            }
            result[parts[0]] = value
        }
        return result
    }

    package var yaml: String {
        "{\(sorted { $0.key < $1.key }.map { "\($0.key.yaml): \($0.value)" }.joined(separator: ", "))}"
    }
    package var json: String {
        "{\(sorted { $0.key < $1.key }.map { "\($0.key.quoted):\($0.value)" }.joined(separator: ","))}"
    }
}

extension String {
    /// The text without white space around it.
    package var trimmed: String {
        String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
    }

    /// The parts between commas, without white space around them; empty text has no parts.
    package var commaSeparated: [String] {
        isEmpty
            ? [] : split(separator: ",", omittingEmptySubsequences: false).map { "\($0)".trimmed }
    }
}
