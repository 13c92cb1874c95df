internal import YAML

/// One field of the file, and the flag that means the same.
package struct Setting: Sendable {
    package enum Effect: Sendable, Hashable {
        case applies
        /// It is accepted, and does nothing, for this reason.
        case nothing(String)
    }

    /// Like `conntrack.maxPerCore`.
    package let path: String
    /// Without the hyphens; two fields may share one, which then sets both.
    package let flag: String?
    package let effect: Effect
    /// Whether a change of the file applies without a restart.
    package let isLive: Bool
    /// The default, as YAML.
    package let defaultText: String
    /// Whether the flag needs no value.
    let isBoolean: Bool
    private let meaning: String

    let readFile: @Sendable (inout KubeProxyConfiguration, YAMLNode) throws(MisreadValue) -> Void
    let readFlag: @Sendable (inout KubeProxyConfiguration, [String]) throws(MisreadValue) -> Void
    let copy: @Sendable (KubeProxyConfiguration, inout KubeProxyConfiguration) -> Void
    let text: @Sendable (KubeProxyConfiguration) -> String
    let jsonText: @Sendable (KubeProxyConfiguration) -> String

    /// - Parameters:
    ///   - help: what it is for, in the help of the flag and in docs/flags.md
    ///   - isZeroDefault: an empty value means the default, as Go's defaulting of a value that is
    ///     no pointer; in a flag an empty text does
    ///   - fromFile: for fields that the file writes otherwise than others of their kind
    ///   - emptyFlag: what a flag with an empty value means, if not the empty value
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

    /// Whether two configurations differ here.
    package func differs(_ left: KubeProxyConfiguration, _ right: KubeProxyConfiguration) -> Bool {
        text(left) != text(right)
    }

    /// What it is for, or why it does nothing.
    package var help: String {
        switch effect {
        case .applies: meaning
        case .nothing(let reason): "Accepted without effect: \(reason)."
        }
    }

    /// Whether its flag applies beside a file as well: kube-proxy has no such flag, or applies it, too
    /// (`cmd/kube-proxy/app/options.go`: `processHostnameOverrideFlag`, `copyLogsFromFlags`).
    var isAlways: Bool {
        path.hasPrefix("needletail.") || path.hasPrefix("logging.") || path == "hostnameOverride"
    }

    /// The field, with its flag.
    package var label: String { label(at: "") }

    /// The same for a part of it, like `.NAME`.
    func label(at place: String) -> String { path + place + (flag.map { " (--\($0))" } ?? "") }
}
