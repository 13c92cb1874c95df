internal import YAML

/// A problem with a configuration, and the field that it concerns.
package struct ConfigurationProblem: Error, Sendable, Hashable, CustomStringConvertible {
    /// A path in the file, or a flag with its hyphens; empty for the whole file.
    package let field: String
    package let reason: String
    package var line: Int?

    init(_ field: String, _ reason: String, line: Int? = nil) {
        (self.field, self.reason, self.line) = (field, reason, line)
    }

    package var description: String {
        let name = Setting.all.first { $0.path == field }?.label ?? field
        let place = line.map { "line \($0): " } ?? ""
        return place + (name.isEmpty ? reason : "\(name): \(reason)")
    }
}

extension KubeProxyConfiguration {
    static let apiVersion = "kubeproxy.config.k8s.io/v1alpha1"
    static let kind = "KubeProxyConfiguration"

    /// Reads a file on top of the defaults.
    ///
    /// Unknown fields are warnings, as in kube-proxy, which reads v1alpha1 leniently if it cannot
    /// be read strictly.
    package static func read(
        yaml text: String
    ) throws(ConfigurationProblem) -> (
        configuration: KubeProxyConfiguration, warnings: [ConfigurationProblem]
    ) {
        let document = try LenientDocument(text)
        let root = try checked(document.root)
        var result = KubeProxyConfiguration()
        var warnings = document.warnings
        let settings = Dictionary(uniqueKeysWithValues: Setting.all.map { ($0.path, $0) })
        try read(root, "", settings, &result, &warnings)
        return (result, warnings)
    }

    /// Returns the top-level map, after a check that its kind and apiVersion are the expected ones.
    private static func checked(
        _ root: YAMLNode?
    ) throws(ConfigurationProblem) -> [YAMLEntry] {
        guard let root, !root.isNull else {
            throw ConfigurationProblem("", "is empty; expected a \(kind)")
        }
        guard let mapping = root.mapping else {
            throw ConfigurationProblem("", "is \(root.kindName); expected a \(kind)")
        }
        for (field, expected) in [("kind", kind), ("apiVersion", apiVersion)] {
            let found = root[field]?.text ?? ""
            if found == expected { continue }
            let hint =
                found == "ConfigMap" ? "; give the text that it has under config.conf" : ""
            throw ConfigurationProblem(
                field,
                "\(found.isEmpty ? "is missing" : "is \(found.quoted)"); expected \(expected)\(hint)"
            )
        }
        return mapping
    }

    private static func read(
        _ entries: [YAMLEntry],
        _ prefix: String,
        _ settings: [String: Setting],
        _ result: inout KubeProxyConfiguration,
        _ warnings: inout [ConfigurationProblem]
    ) throws(ConfigurationProblem) {
        // If a name occurs several times, the last one counts.
        let last = Dictionary(entries.map { ($0.key, $0) }, uniquingKeysWith: { $1 })
        for entry in entries where entry.line == last[entry.key]?.line {
            let (name, value, line) = (entry.key, entry.value, entry.line)
            if prefix.isEmpty, name == "apiVersion" || name == "kind" { continue }
            // A field that is absent or null keeps its default.
            if value.isNull { continue }
            let path = prefix + name
            if let setting = settings[path] {
                do throws(MisreadValue) {
                    try setting.readFile(&result, value)
                } catch {
                    throw ConfigurationProblem(
                        error.place.isEmpty ? path : setting.label(at: error.place),
                        error.reason,
                        line: error.line ?? line
                    )
                }
            } else if settings.keys.contains(where: { $0.hasPrefix(path + ".") }) {
                guard let section = value.mapping else {
                    throw ConfigurationProblem(
                        path,
                        "\(value.told) not a map of fields",
                        line: line
                    )
                }
                try read(section, path + ".", settings, &result, &warnings)
            } else {
                warnings.append(
                    ConfigurationProblem(
                        prefix + name.yaml,
                        "is no field of \(kind); ignored",
                        line: line
                    )
                )
            }
        }
    }
}
