internal import Yams

/// Something about a configuration, with the field that it is about.
package struct ConfigurationProblem: Error, Sendable, Hashable, CustomStringConvertible {
    /// A path as in the file; empty: the whole file.
    package let field: String
    package let reason: String
    package var line: Int?

    init(_ field: String, _ reason: String, line: Int? = nil) {
        (self.field, self.reason, self.line) = (field, reason, line)
    }

    package var description: String {
        let flag = Setting.all.first { $0.path == field }?.flag
        let name = field + (flag.map { " (--\($0))" } ?? "")
        let place = line.map { "line \($0): " } ?? ""
        return place + (name.isEmpty ? reason : "\(name): \(reason)")
    }
}

extension KubeProxyConfiguration {
    private static let apiVersion = "kubeproxy.config.k8s.io/v1alpha1"
    private static let kind = "KubeProxyConfiguration"

    /// Reads a file over the defaults.
    ///
    /// Unknown fields are warnings, as in kube-proxy, whose v1alpha1 is read leniently when it cannot
    /// be read strictly.
    package static func read(
        yaml text: String
    ) throws(ConfigurationProblem) -> (
        configuration: KubeProxyConfiguration, warnings: [ConfigurationProblem]
    ) {
        let root: Yams.Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch let error as YamlError {
            throw ConfigurationProblem("", "is no valid YAML: \(error.summary)")
        } catch {
            throw ConfigurationProblem("", "is no valid YAML: \(error)")
        }
        guard let mapping = root?.mapping else {
            throw ConfigurationProblem("", "is empty; expected a \(kind)")
        }
        try check(mapping, "apiVersion", apiVersion)
        try check(mapping, "kind", kind)
        var result = KubeProxyConfiguration()
        var warnings: [ConfigurationProblem] = []
        let settings = Dictionary(uniqueKeysWithValues: Setting.all.map { ($0.path, $0) })
        try read(mapping, "", settings, &result, &warnings)
        return (result, warnings)
    }

    private static func check(
        _ mapping: Yams.Node.Mapping,
        _ field: String,
        _ expected: String
    ) throws(ConfigurationProblem) {
        let found = mapping[Yams.Node(field)]?.scalar?.string ?? ""
        guard found != expected else { return }
        throw ConfigurationProblem(field, "is \"\(found)\"; expected \(expected)")
    }

    private static func read(
        _ mapping: Yams.Node.Mapping,
        _ prefix: String,
        _ settings: [String: Setting],
        _ result: inout KubeProxyConfiguration,
        _ warnings: inout [ConfigurationProblem]
    ) throws(ConfigurationProblem) {
        for (key, value) in mapping {
            let name = key.scalar?.string ?? ""
            let path = prefix + name
            let line = key.mark?.line
            if prefix.isEmpty, name == "apiVersion" || name == "kind" { continue }
            // Absent and null mean the default.
            if value.tag == Tag(.null) { continue }
            if let setting = settings[path] {
                guard setting.read(&result, value) else {
                    let given = value.scalar.map { "\"\($0.string)\" is not" } ?? "is not"
                    throw ConfigurationProblem(path, "\(given) \(setting.expectation)", line: line)
                }
            } else if let section = value.mapping,
                settings.keys.contains(where: { $0.hasPrefix(path + ".") })
            {
                try read(section, path + ".", settings, &result, &warnings)
            } else {
                warnings.append(
                    ConfigurationProblem(path, "is no field of \(kind); ignored", line: line)
                )
            }
        }
    }

    /// This, with what can change at run time taken from another.
    package func applyingLive(of other: KubeProxyConfiguration) -> KubeProxyConfiguration {
        var result = self
        for setting in Setting.all where setting.isLive { setting.copy(other, &result) }
        return result
    }

    /// The file as JSON; its values are valid there as well.
    package var json: String {
        Self.object(
            [("apiVersion", Self.apiVersion.yamlQuoted), ("kind", Self.kind.yamlQuoted)]
                + Setting.all.map { ($0.path, $0.jsonText(self)) }
        )
    }

    /// Nests the paths that begin alike.
    private static func object(_ entries: [(path: String, value: String)]) -> String {
        var members: [String] = []
        var rest = entries[...]
        while let first = rest.first {
            guard let dot = first.path.firstIndex(of: ".") else {
                members.append("\"\(first.path)\":\(first.value)")
                rest = rest.dropFirst()
                continue
            }
            let section = first.path[...dot]
            let own = rest.filter { $0.path.hasPrefix(section) }
            rest = rest.filter { !$0.path.hasPrefix(section) }[...]
            let inner = own.map { (String($0.path.dropFirst(section.count)), $0.value) }
            members.append("\"\(section.dropLast())\":\(object(inner))")
        }
        return "{\(members.joined(separator: ","))}"
    }

    /// The flags with their values, a line for each.
    package var flagText: String {
        Setting.all.compactMap { setting in
            setting.flag.map { "\($0)=\(setting.text(self))" }
        }
        .sorted().joined(separator: "\n") + "\n"
    }

    /// The file that means this.
    package var yaml: String {
        var lines = ["apiVersion: \(Self.apiVersion)", "kind: \(Self.kind)"]
        var section: [Substring] = []
        for setting in Setting.all.sorted(by: { $0.path < $1.path }) {
            let words = setting.path.split(separator: ".")
            let parents = words.dropLast()
            for depth in parents.indices
            where section.prefix(depth + 1) != parents.prefix(depth + 1) {
                lines.append(String(repeating: "  ", count: depth) + "\(parents[depth]):")
            }
            section = Array(parents)
            let indent = String(repeating: "  ", count: parents.count)
            lines.append("\(indent)\(words.last ?? ""): \(setting.text(self))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// What is set, means nothing here, and why.
    package var idleSettings: [(field: String, reason: String)] {
        let defaults = KubeProxyConfiguration()
        return Setting.all.compactMap { setting in
            guard case .nothing(let reason) = setting.effect, setting.differs(self, defaults) else {
                return nil
            }
            return (setting.path, reason)
        }
    }
}

extension YamlError {
    fileprivate var summary: String {
        switch self {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            "\(problem) in line \(mark.line)"
        default: "\(self)"
        }
    }
}
