extension KubeProxyConfiguration {
    /// Returns this configuration, with the settings that can change at run time taken from
    /// another.
    package func applyingLive(of other: KubeProxyConfiguration) -> KubeProxyConfiguration {
        var result = self
        for setting in Setting.all where setting.isLive { setting.copy(other, &result) }
        return result
    }

    /// The file as JSON, in which every value is valid as well.
    package var json: String {
        Self.object(
            [("apiVersion", Self.apiVersion.quoted), ("kind", Self.kind.quoted)]
                + Setting.all.map { ($0.path, $0.jsonText(self)) }
        )
    }

    /// Nests paths with a common first part into objects.
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

    /// All flags with their values, one per line.
    package var flagText: String {
        let lines = SettingFlag.all.compactMap { flag in
            flag.setting.map { "\(flag.name)=\($0.text(self))" }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The file that describes this configuration.
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

    /// The settings that were changed but have no effect here, each with the reason.
    package var idleSettings: [(field: String, reason: String)] {
        let defaults = KubeProxyConfiguration()
        return Setting.all.compactMap { setting -> (field: String, reason: String)? in
            guard case .nothing(let reason) = setting.effect, setting.differs(self, defaults) else {
                return nil
            }
            // Skipped if the same flag also sets another field, which has an effect or is reported
            // itself.
            if let main = setting.flag.flatMap(SettingFlag.named)?.setting,
                main.path != setting.path,
                main.text(self) == setting.text(self)
            {
                return nil
            }
            return (setting.label, reason)
        }
    }
}
