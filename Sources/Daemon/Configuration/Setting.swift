internal import YAML

/// One field of the file, and the flag with the same meaning.
package struct Setting: Sendable {
    package enum Effect: Sendable, Hashable {
        case applies
        /// The setting is accepted but has no effect, for this reason.
        case nothing(String)
    }

    /// The path of the field, such as `conntrack.maxPerCore`.
    package let path: String
    /// The name of the flag without hyphens; a flag that two fields share sets both.
    package let flag: String?
    package let effect: Effect
    /// Whether a change in the file takes effect without a restart.
    package let isLive: Bool
    /// The default, as YAML.
    package let defaultText: String
    /// Whether the flag may be given without a value.
    let isBoolean: Bool
    private let meaning: String

    let readFile: @Sendable (inout KubeProxyConfiguration, YAMLNode) throws(MisreadValue) -> Void
    let readFlag: @Sendable (inout KubeProxyConfiguration, [String]) throws(MisreadValue) -> Void
    let copy: @Sendable (KubeProxyConfiguration, inout KubeProxyConfiguration) -> Void
    let text: @Sendable (KubeProxyConfiguration) -> String
    let jsonText: @Sendable (KubeProxyConfiguration) -> String

    /// Makes a setting.
    ///
    /// - Parameters: - help: the purpose of the setting, in the help of the flag and in
    ///   docs/flags.md - isZeroDefault: whether an empty value in the file, or empty text in a
    ///   flag, means the default, as in Go's defaulting of a value that is not a pointer -
    ///   fromFile: reads a field that the file writes in another form than its type usually has -
    ///   emptyFlag: the meaning of a flag with an empty value, if it is not the empty value
    init<Value: SettingValue>(
        _ path: String,
        _ field: any WritableKeyPath<KubeProxyConfiguration, Value> & Sendable,
        flag: String? = nil,
        _ help: String = "",
        isZeroDefault: Bool = false,
        isLive: Bool = false,
        effect: Effect = .applies,
        fromFile: @escaping @Sendable (YAMLNode) throws(MisreadValue) -> Value = Value.read(_:),
        emptyFlag: Value? = nil
    ) {
        (self.path, self.flag, self.effect, self.isLive) = (path, flag, effect, isLive)
        (meaning, isBoolean) = (help, Value.self == Bool.self)
        defaultText = KubeProxyConfiguration()[keyPath: field].yaml
        text = { $0[keyPath: field].yaml }
        jsonText = { $0[keyPath: field].json }
        copy = { $1[keyPath: field] = $0[keyPath: field] }
        readFile = { configuration, node throws(MisreadValue) in
            let value = try fromFile(node)
            if isZeroDefault, value.isZero { return }
            configuration[keyPath: field] = value
        }
        readFlag = { configuration, words throws(MisreadValue) in
            var value = try Value.read(flag: words)
            if words.last == "" {
                if let emptyFlag { value = emptyFlag } else if isZeroDefault { return }
            }
            configuration[keyPath: field] = value
        }
    }

    /// Whether two configurations differ in this setting.
    package func differs(_ left: KubeProxyConfiguration, _ right: KubeProxyConfiguration) -> Bool {
        text(left) != text(right)
    }

    /// The purpose of the setting, or the reason why it has no effect.
    package var help: String {
        switch effect {
        case .applies: meaning
        case .nothing(let reason): "Accepted without effect: \(reason)."
        }
    }

    /// Whether the flag applies even if a file is given, as it does for a few of kube-proxy's flags
    /// and for needletail's own (`cmd/kube-proxy/app/options.go`: `processHostnameOverrideFlag`,
    /// `copyLogsFromFlags`).
    var isAlways: Bool {
        path.hasPrefix("needletail.") || path.hasPrefix("logging.") || path == "hostnameOverride"
    }

    /// The path of the field, with its flag in parentheses.
    package var label: String { label(at: "") }

    /// The label of a part of the field, such as `.NAME`.
    func label(at place: String) -> String { path + place + (flag.map { " (--\($0))" } ?? "") }
}
