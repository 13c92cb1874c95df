internal import ArgumentParser
internal import Configuration

/// A flag that was given, and what it means for the configuration.
struct FlagValue: Sendable {
    let name: String
    /// Applies beside `--config` as well: kube-proxy has no such flag, or applies it too.
    let isAlways: Bool
    let apply: @Sendable (inout KubeProxyConfiguration) throws(ValidationError) -> Void

    init(
        _ name: String,
        isAlways: Bool = false,
        _ apply: @escaping @Sendable (inout KubeProxyConfiguration) throws(ValidationError) -> Void
    ) {
        (self.name, self.isAlways, self.apply) = (name, isAlways, apply)
    }

    /// Nil if it was not given.
    static func set<Value: Sendable>(
        _ name: String,
        _ value: Value?,
        isAlways: Bool = false,
        _ fields: any WritableKeyPath<KubeProxyConfiguration, Value> & Sendable...
    ) -> FlagValue? {
        value.map { value in
            FlagValue(name, isAlways: isAlways) { configuration in
                for field in fields { configuration[keyPath: field] = value }
            }
        }
    }

    /// The same for a list with commas.
    static func list(
        _ name: String,
        _ value: String?,
        isAlways: Bool = false,
        _ field: any WritableKeyPath<KubeProxyConfiguration, [String]> & Sendable
    ) -> FlagValue? {
        set(name, value?.commaSeparated, isAlways: isAlways, field)
    }

    /// Flags that may come as `--name=true`, with whether they have a `--no-name`.
    private static let booleans = [
        "masquerade-all": true, "ipvs-strict-arp": true, "bind-address-hard-fail": true,
        "profiling": true, "iptables-localhost-nodeports": true,
        "conntrack-tcp-be-liberal": true, "log-text-split-stream": true,
        "log-json-split-stream": true, "takeover": true,
        "node-addresses-as-external-ips": true, "cleanup": false, "init-only": false,
        "once": false, "dry-run": false,
    ]

    /// Turns kube-proxy's spelling of a flag into ours: hyphens for underscores, and `--name`
    /// or `--no-name` for `--name=true` and `--name=false`; nil if nothing is left to say.
    static func normalized(_ argument: String) -> String? {
        guard argument.hasPrefix("--") else { return argument }
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0].replacing("_", with: "-"))
        guard parts.count == 2 else { return name }
        let word = String(name.dropFirst(2))
        guard let hasInversion = booleans[word] else { return "\(name)=\(parts[1])" }
        switch parts[1].lowercased() {
        case "true", "t", "1": return name
        case "false", "f", "0": return hasInversion ? "--no-\(word)" : nil
        default: return "\(name)=\(parts[1])"
        }
    }
}

extension TimeSpan: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}
