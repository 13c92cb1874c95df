/// The grammar of kube-proxy's flag parser, pflag, which is rewritten here for a simpler parser.
///
/// It accepts `--name value`, `--name=value`, `--name=` (an empty value), `--boolean`,
/// `--boolean=false`, `-v 4`, `-v=4` and `-v4`. Names may contain an underscore in place of a
/// hyphen, values may begin with a hyphen, and `--` ends the flags. (`github.com/spf13/pflag`:
/// `flag.go`, `parseArgs`.)
package struct FlagGrammar {
    package enum Kind: Sendable { case boolean, value }

    /// The flags that are not settings.
    private let others: [String: Kind]
    /// The long names of the flags with one letter.
    private let letters: [Character: String]

    /// The long names for alternative names of flags.
    private let aliases: [String: String]

    package init(
        others: [String: Kind],
        letters: [Character: String],
        aliases: [String: String] = [:]
    ) {
        (self.others, self.letters, self.aliases) = (others, letters, aliases)
    }

    /// Rewrites flags for the simpler parser.
    ///
    /// Flags of settings become `--setting=name=value`. Other flags become `--name=value`, or
    /// `--name` for a boolean that is true, and are left out if they have no effect (`--name=`,
    /// `--boolean=false`). Unknown flags stay as they are.
    package func rewritten(_ arguments: [String]) throws(ConfigurationProblem) -> [String] {
        var result: [String] = []
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" { return result + [argument] + rest }
            guard let flag = split(argument) else {
                result.append(argument)
                continue
            }
            guard let kind = kind(flag.name) else {
                if let near = near(flag.name) {
                    throw ConfigurationProblem("--\(flag.name)", "is no flag; --\(near) is one")
                }
                result.append(argument)
                continue
            }
            let value =
                if let value = flag.value { value } else { try value(of: flag.name, kind, &rest) }
            result += try rewritten(flag.name, kind, value)
        }
        return result
    }

    /// Splits a flag into its long name and its value; nil if the argument is not a flag.
    private func split(_ argument: String) -> (name: String, value: String?)? {
        if argument.hasPrefix("--") {
            let parts = argument.dropFirst(2)
                .split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(parts[0].replacing("_", with: "-"))
            return (aliases[name] ?? name, parts.count > 1 ? "\(parts[1])" : nil)
        }
        guard argument.first == "-", let letter = argument.dropFirst().first,
            let name = letters[letter]
        else { return nil }
        let value = argument.dropFirst(2)
        if value.isEmpty { return (name, nil) }
        return (name, "\(value.first == "=" ? value.dropFirst() : value)")
    }

    private func kind(_ name: String) -> Kind? {
        SettingFlag.named(name).map { $0.isBoolean ? .boolean : .value } ?? others[name]
    }

    private func value(
        of name: String,
        _ kind: Kind,
        _ rest: inout ArraySlice<String>
    ) throws(ConfigurationProblem) -> String {
        switch kind {
        case .boolean:
            if let next = rest.first, ["true", "false"].contains(next.lowercased()) {
                throw ConfigurationProblem("--\(name) \(next)", "write --\(name)=\(next)")
            }
            return "true"
        case .value:
            guard let value = rest.popFirst() else {
                throw ConfigurationProblem("--\(name)", "needs a value, as --\(name)=VALUE")
            }
            return value
        }
    }

    private func rewritten(
        _ name: String,
        _ kind: Kind,
        _ value: String
    ) throws(ConfigurationProblem) -> [String] {
        if SettingFlag.named(name) != nil { return ["--setting=\(name)=\(value)"] }
        switch kind {
        case .value: return value.isEmpty ? [] : ["--\(name)=\(value)"]
        case .boolean:
            guard let isOn = Bool(word: value) else {
                throw ConfigurationProblem("--\(name)", "\(value.quoted) is not true or false")
            }
            return isOn ? ["--\(name)"] : []
        }
    }

    /// The name of the setting's flag that was probably meant; nil if none is close enough.
    private func near(_ name: String) -> String? {
        let distances = SettingFlag.all.map {
            (distance: Self.distance(name, $0.name), name: $0.name)
        }
        return distances.min { $0 < $1 }.flatMap {
            $0.distance < 3 && name.count > 4 ? $0.name : nil
        }
    }

    /// The number of letters to add, remove or replace to turn one text into the other.
    private static func distance(_ left: String, _ right: String) -> Int {
        let right = Array(right)
        var row = Array(0...right.count)
        for (index, letter) in left.enumerated() {
            var corner = index
            row[0] = index + 1
            for column in right.indices {
                let above = row[column + 1]
                row[column + 1] = min(
                    corner + (letter == right[column] ? 0 : 1),
                    above + 1,
                    row[column] + 1
                )
                corner = above
            }
        }
        return row[right.count]
    }
}
