internal import YAMLBounds
internal import Yams

/// The first document of a YAML text, as Go's YAML reads it when nothing is to be strict.
///
/// A byte order mark is no part of the text, of equal keys the last one counts, and what follows the
/// first document is not read. kube-proxy falls back to this when it cannot read v1alpha1 strictly
/// (`cmd/kube-proxy/app/server.go`, `newLenientSchemeAndCodecs`).
struct LenientDocument {
    private(set) var root: Yams.Node?
    /// What would be an error of a strict reader.
    private(set) var warnings: [ConfigurationProblem] = []

    private static let byteOrderMark: Unicode.Scalar = "\u{FEFF}"
    /// Begins the names of keys that do not count; of the private use area.
    private static let mark: Unicode.Scalar = "\u{E000}"
    /// How many equal keys are put up with: each costs another reading.
    private static let limit = 100

    static func isSuperseded(_ key: String) -> Bool { key.unicodeScalars.first == mark }

    init(_ text: String) throws(ConfigurationProblem) {
        var scalars = String.UnicodeScalarView(text.unicodeScalars)
        if scalars.first == Self.byteOrderMark {
            scalars.removeFirst()
            warnings.append(ConfigurationProblem("", "a byte order mark is passed over", line: 1))
        }
        guard AliasExpansion.isBounded(text) else {
            throw ConfigurationProblem("", "its aliases stand for too much; write them out")
        }
        var again: [(name: String, line: Int)] = []
        while true {
            do {
                var documents = try Yams.compose_all(yaml: String(scalars))
                root = documents.next()
                if let error = documents.error { throw error }
                let second = documents.next()
                if !again.isEmpty { warnings.append(Self.warning(again)) }
                // Whether it can be read does not matter.
                if let second, second.tag == Tag(.null) { return }
                if second != nil || documents.error != nil {
                    warnings.append(
                        ConfigurationProblem(
                            "",
                            "a second document is not read",
                            line: second?.mark?.line
                        )
                    )
                }
                return
            } catch YamlError.duplicatedKeysInMapping(let names, let context) {
                guard again.count < Self.limit,
                    Self.rename(&scalars, at: context.mark, again.count)
                else {
                    let words = names.filter { $0 != "<uncovertable>" }.map(\.quoted)
                    throw ConfigurationProblem(
                        "",
                        "is no valid YAML: equal keys \(words.joined(separator: ", "))".trimmed,
                        line: context.mark.line
                    )
                }
                again.append((names.first ?? "", context.mark.line))
            } catch let error as YamlError {
                throw ConfigurationProblem("", "is no valid YAML: \(error.summary)")
            } catch {
                throw ConfigurationProblem("", "is no valid YAML: \(error)")
            }
        }
    }

    private static func warning(_ again: [(name: String, line: Int)]) -> ConfigurationProblem {
        let keys = again.sorted { $0.line < $1.line }.map { "\($0.name.yaml) (line \($0.line))" }
        return ConfigurationProblem(
            "",
            "\(keys.joined(separator: ", ")): given again further down, where it counts"
        )
    }

    /// Gives the key at a place another name.
    ///
    /// - Returns: false if it is no plain or quoted word
    private static func rename(
        _ scalars: inout String.UnicodeScalarView,
        at mark: Mark,
        _ number: Int
    ) -> Bool {
        guard var place = index(of: mark, in: scalars) else { return false }
        if "\"'".unicodeScalars.contains(scalars[place]) {
            place = scalars.index(after: place)
        } else if "&!*?|>[{".unicodeScalars.contains(scalars[place]) {
            return false
        }
        scalars.insert(contentsOf: "\(Self.mark)\(number)\(Self.mark)".unicodeScalars, at: place)
        return true
    }

    /// Lines and columns are counted from 1, in code points; lines end as libyaml's do.
    private static func index(
        of mark: Mark,
        in scalars: String.UnicodeScalarView
    ) -> String.UnicodeScalarView.Index? {
        var (line, column) = (1, 1)
        var last: Unicode.Scalar?
        for index in scalars.indices {
            let endsLine = scalars[index] == "\n" && last == "\r"
            if !endsLine, (line, column) == (mark.line, mark.column) { return index }
            switch scalars[index] {
            case "\n" where endsLine: break
            case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}": (line, column) = (line + 1, 1)
            default: column += 1
            }
            last = scalars[index]
        }
        return nil
    }
}

extension YamlError {
    fileprivate var summary: String {
        switch self {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            "\(problem) in line \(mark.line)"
        case .reader(let problem, let offset, let value, _):
            "\(problem): 0x\(String(value, radix: 16)) at byte \(offset ?? 0)"
        default: "it cannot be read"
        }
    }
}
