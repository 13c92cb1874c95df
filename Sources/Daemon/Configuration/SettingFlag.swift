/// A flag that sets one or more settings, under kube-proxy's name if kube-proxy has it.
package struct SettingFlag: Sendable {
    /// The name without hyphens.
    package let name: String
    package let help: String
    /// Whether the flag may be given without a value.
    package let isBoolean: Bool
    let isAlways: Bool
    /// The field that the flag sets, preferably one with an effect; nil if it sets part of a field.
    let setting: Setting?
    /// Reads the values that were given for the flag, in order.
    let read: @Sendable (inout KubeProxyConfiguration, [String]) throws(MisreadValue) -> Void

    private init(_ name: String, _ settings: [Setting]) {
        self.name = name
        setting = settings.first { $0.effect == .applies } ?? settings.first
        help = setting?.help ?? ""
        isBoolean = settings.contains(where: \.isBoolean)
        isAlways = settings.contains(where: \.isAlways)
        read = { configuration, values throws(MisreadValue) in
            for setting in settings { try setting.readFlag(&configuration, values) }
        }
    }

    /// Makes a flag for the port of a server.
    ///
    /// The port is used if the server's address has none; port 0 turns the server off.
    private init(
        port name: String,
        _ what: String,
        _ address: any WritableKeyPath<KubeProxyConfiguration, String> & Sendable,
        _ host: any KeyPath<KubeProxyConfiguration, String> & Sendable
    ) {
        self.name = name
        help = "The port of \(what), if its address has none (deprecated); 0 turns it off."
        (setting, isBoolean, isAlways) = (nil, false, false)
        read = { configuration, values throws(MisreadValue) in
            let port = try Int.read(flag: values)
            guard (0...65535).contains(port) else { throw MisreadValue("\(port) is not 0-65535") }
            let given = configuration[keyPath: address]
            guard given != KubeProxyConfiguration.noAddress else { return }
            configuration[keyPath: address] =
                port == 0
                ? KubeProxyConfiguration.noAddress
                : KubeProxyConfiguration.withPort(given, configuration[keyPath: host], port)
        }
    }

    /// All flags of settings, in the order in which they apply.
    package static let all: [SettingFlag] = {
        let settings = Dictionary(grouping: Setting.all.filter { $0.flag != nil }) { $0.flag ?? "" }
        return settings.map { SettingFlag($0.key, $0.value) }.sorted { $0.name < $1.name } + [
            SettingFlag(port: "healthz-port", "health", \.healthzBindAddress, \.healthzHost),
            SettingFlag(port: "metrics-port", "metrics", \.metricsBindAddress, \.metricsHost),
        ]
    }()

    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    package static func named(_ name: String) -> SettingFlag? { byName[name] }
}

/// The flags of settings that were given on a command line.
package struct GivenFlags: Sendable, Hashable {
    private var values: [String: [String]] = [:]

    /// Makes the flags from `name=value` words, in the order in which they were given.
    ///
    /// - Throws: a problem with `--name` as its field, if a flag is unknown or its value cannot be
    ///   read
    package init(_ words: [String] = []) throws(ConfigurationProblem) {
        for word in words {
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard SettingFlag.named("\(parts[0])") != nil else {
                throw ConfigurationProblem("--\(parts[0])", "is no flag of a setting")
            }
            values["\(parts[0])", default: []].append(parts.count > 1 ? "\(parts[1])" : "")
        }
        // A value must be readable even if it is not used later.
        var scratch = KubeProxyConfiguration()
        try apply(to: &scratch, besideFile: false)
    }

    package func contains(_ name: String) -> Bool { values[name] != nil }

    /// Applies the flags to a configuration.
    ///
    /// - Parameter besideFile: whether to apply only the flags that have an effect beside
    ///   `--config`
    package func apply(
        to configuration: inout KubeProxyConfiguration,
        besideFile: Bool
    ) throws(ConfigurationProblem) {
        for flag in SettingFlag.all where flag.isAlways || !besideFile {
            guard let values = values[flag.name] else { continue }
            do throws(MisreadValue) {
                try flag.read(&configuration, values)
            } catch {
                throw ConfigurationProblem("--\(flag.name)", error.reason)
            }
        }
    }

    /// The given flags that have no effect beside `--config`, as `--name`.
    package var ignoredBesideFile: [String] {
        SettingFlag.all.filter { !$0.isAlways && contains($0.name) }.map { "--\($0.name)" }
    }
}
