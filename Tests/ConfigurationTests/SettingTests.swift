import Configuration
import Foundation
import Testing

/// A setting in each of the forms in which it can be given.
struct SettingCase: Sendable, CustomTestStringConvertible {
    let path: String
    /// What the file has, in YAML.
    let file: String
    /// What the flag is given; nil: kube-proxy has no flag for it.
    let flag: String?
    /// What both mean, in JSON.
    let json: String
    /// What Go takes for unset: an empty value in the file means the default then
    /// (`pkg/proxy/apis/config/v1alpha1/defaults.go`).
    let emptyIsDefault: Bool

    init(
        _ path: String,
        _ file: String,
        flag: String? = nil,
        _ json: String,
        emptyIsDefault: Bool = false
    ) {
        (self.path, self.file, self.flag, self.json) = (path, file, flag, json)
        self.emptyIsDefault = emptyIsDefault
    }

    var testDescription: String { path }

    private static func text(
        _ path: String,
        _ value: String,
        flag: String? = nil,
        _ emptyIsDefault: Bool = false
    ) -> SettingCase {
        .init(
            path,
            value,
            flag: flag.map { "\($0)=\(value)" },
            "\"\(value)\"",
            emptyIsDefault: emptyIsDefault
        )
    }

    private static func span(
        _ path: String,
        flag: String? = nil,
        _ emptyIsDefault: Bool = false
    ) -> SettingCase {
        .init(
            path,
            "1h30m",
            flag: flag.map { "\($0)=90m" },
            "\"1h30m0s\"",
            emptyIsDefault: emptyIsDefault
        )
    }

    private static func number(_ path: String, flag: String?, empty: Bool = false) -> SettingCase {
        .init(path, "17", flag: flag.map { "\($0)=0x11" }, "17", emptyIsDefault: empty)
    }

    private static func truth(_ path: String, flag: String? = nil) -> SettingCase {
        .init(path, "true", flag: flag.map { "\($0)=T" }, "true")
    }

    private static func list(_ path: String, flag: String?) -> SettingCase {
        .init(
            path,
            "[10.0.0.0/8, fd00::/8]",
            flag: flag.map { "\($0)=10.0.0.0/8,fd00::/8" },
            #"["10.0.0.0/8","fd00::/8"]"#
        )
    }

    /// `cmd/kube-proxy/app/options.go: AddFlags` names the flags.
    static let all: [SettingCase] = daemon + networking + needletail

    private static let daemon: [SettingCase] = [
        .init("featureGates", "{A: true}", flag: "feature-gates=A=true", #"{"A":true}"#),
        text("clientConnection.kubeconfig", "/k", flag: "kubeconfig"),
        text("clientConnection.acceptContentTypes", "a/b"),
        text(
            "clientConnection.contentType",
            "application/json",
            flag: "kube-api-content-type",
            true
        ),
        .init(
            "clientConnection.qps",
            "2.5",
            flag: "kube-api-qps=2.5",
            "2.5",
            emptyIsDefault: true
        ),
        number("clientConnection.burst", flag: "kube-api-burst", empty: true),
        text("logging.format", "json", flag: "logging-format", true),
        span("logging.flushFrequency", flag: "log-flush-frequency", true),
        number("logging.verbosity", flag: "v"),
        .init(
            "logging.vmodule",
            "[{filePattern: a, verbosity: 1}]",
            flag: "vmodule=a=1",
            #"["a=1"]"#
        ),
        truth("logging.options.text.splitStream", flag: "log-text-split-stream"),
        text("logging.options.text.infoBufferSize", "4Ki", flag: "log-text-info-buffer-size"),
        truth("logging.options.json.splitStream", flag: "log-json-split-stream"),
        text("logging.options.json.infoBufferSize", "4Ki", flag: "log-json-info-buffer-size"),
        text("hostnameOverride", "node-a", flag: "hostname-override"),
        .init("bindAddress", "\"::\"", flag: "bind-address=::", "\"::\"", emptyIsDefault: true),
        .init(
            "healthzBindAddress",
            "\"1.2.3.4:5\"",
            flag: "healthz-bind-address=1.2.3.4:5",
            "\"1.2.3.4:5\"",
            emptyIsDefault: true
        ),
        .init(
            "metricsBindAddress",
            "\"1.2.3.4:5\"",
            flag: "metrics-bind-address=1.2.3.4:5",
            "\"1.2.3.4:5\"",
            emptyIsDefault: true
        ),
        truth("bindAddressHardFail", flag: "bind-address-hard-fail"),
        truth("enableProfiling", flag: "profiling"),
        .init(
            "showHiddenMetricsForVersion",
            "\"1.36\"",
            flag: "show-hidden-metrics-for-version=1.36",
            "\"1.36\""
        ),
        .init("oomScoreAdj", "-5", flag: "oom-score-adj=-5", "-5"),
        span("configSyncPeriod", flag: "config-sync-period", true),
        .init("portRange", "1-2", "\"1-2\""),
        truth("windowsRunAsService"),
    ]

    private static let networking: [SettingCase] = [
        text("mode", "ipvs", flag: "proxy-mode"),
        number("iptables.masqueradeBit", flag: "iptables-masquerade-bit"),
        truth("iptables.masqueradeAll", flag: "masquerade-all"),
        .init(
            "iptables.localhostNodePorts",
            "false",
            flag: "iptables-localhost-nodeports=F",
            "false"
        ),
        span("iptables.syncPeriod", flag: "iptables-sync-period", true),
        span("iptables.minSyncPeriod", flag: "iptables-min-sync-period", true),
        span("ipvs.syncPeriod", flag: "ipvs-sync-period", true),
        span("ipvs.minSyncPeriod", flag: "ipvs-min-sync-period"),
        text("ipvs.scheduler", "wlc", flag: "ipvs-scheduler"),
        list("ipvs.excludeCIDRs", flag: "ipvs-exclude-cidrs"),
        truth("ipvs.strictARP", flag: "ipvs-strict-arp"),
        span("ipvs.tcpTimeout", flag: "ipvs-tcp-timeout"),
        span("ipvs.tcpFinTimeout", flag: "ipvs-tcpfin-timeout"),
        span("ipvs.udpTimeout", flag: "ipvs-udp-timeout"),
        number("nftables.masqueradeBit", flag: "iptables-masquerade-bit"),
        truth("nftables.masqueradeAll", flag: "masquerade-all"),
        span("nftables.syncPeriod", flag: "iptables-sync-period", true),
        span("nftables.minSyncPeriod", flag: "iptables-min-sync-period", true),
        text("winkernel.networkName", "n"), text("winkernel.sourceVip", "s"),
        text("winkernel.rootHnsEndpointName", "r"), truth("winkernel.enableDSR"),
        truth("winkernel.forwardHealthCheckVip"),
        text("detectLocalMode", "NodeCIDR", flag: "detect-local-mode"),
        text("detectLocal.bridgeInterface", "cni0", flag: "pod-bridge-interface"),
        text("detectLocal.interfaceNamePrefix", "veth", flag: "pod-interface-name-prefix"),
        text("clusterCIDR", "10.0.0.0/8", flag: "cluster-cidr"),
        list("nodePortAddresses", flag: "nodeport-addresses"),
        number("conntrack.maxPerCore", flag: "conntrack-max-per-core"),
        number("conntrack.min", flag: "conntrack-min"),
        span("conntrack.tcpEstablishedTimeout", flag: "conntrack-tcp-timeout-established"),
        span("conntrack.tcpCloseWaitTimeout", flag: "conntrack-tcp-timeout-close-wait"),
        truth("conntrack.tcpBeLiberal", flag: "conntrack-tcp-be-liberal"),
        span("conntrack.udpTimeout", flag: "conntrack-udp-timeout"),
        span("conntrack.udpStreamTimeout", flag: "conntrack-udp-timeout-stream"),
    ]

    private static let needletail: [SettingCase] = [
        list("needletail.nodeIPs", flag: "node-ip"),
        span("needletail.ipvsDrainTimeout", flag: "ipvs-drain-timeout"),
        text("needletail.endpointsSource", "endpoints", flag: "endpoints-source"),
        .init("needletail.takeover", "false", flag: "takeover=0", "false"),
        number("needletail.serviceMetrics", flag: "service-metrics"),
        number("needletail.namespaceWarnings", flag: "namespace-warnings"),
        truth(
            "needletail.nodeAddressesAsExternalIPs",
            flag: "node-addresses-as-external-ips"
        ),
    ]
}

@Suite struct SettingTests {
    /// The fields by path, each as JSON.
    private func fields(_ configuration: KubeProxyConfiguration) throws -> [String: String] {
        let paths = Set(Setting.all.map(\.path))
        var fields: [String: String] = [:]
        func flatten(_ value: Any, _ path: String) throws {
            if !paths.contains(path), let object = value as? [String: Any] {
                for (name, member) in object {
                    try flatten(member, path.isEmpty ? name : "\(path).\(name)")
                }
            } else {
                let data = try JSONSerialization.data(
                    withJSONObject: value,
                    options: [.fragmentsAllowed, .withoutEscapingSlashes, .sortedKeys]
                )
                fields[path] = String(decoding: data, as: UTF8.self)
            }
        }
        try flatten(JSONSerialization.jsonObject(with: Data(configuration.json.utf8)), "")
        return fields
    }

    private func read(_ path: String, _ value: String) throws -> KubeProxyConfiguration {
        var text = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
        let words = path.split(separator: ".")
        for (depth, word) in words.enumerated() {
            text += String(repeating: " ", count: depth) + word + ":"
            text += depth == words.count - 1 ? " \(value)\n" : "\n"
        }
        let (configuration, warnings) = try KubeProxyConfiguration.read(yaml: text)
        #expect(warnings.isEmpty, "\(warnings)")
        return configuration
    }

    @Test func `every setting is here`() {
        #expect(SettingCase.all.map(\.path).sorted() == Setting.all.map(\.path).sorted())
        let flags = Set(SettingCase.all.compactMap { $0.flag?.split(separator: "=").first })
        #expect(flags == Set(Setting.all.compactMap { $0.flag.map { $0[...] } }))
    }

    @Test(arguments: SettingCase.all)
    func `a field of the file sets itself and nothing else`(setting: SettingCase) throws {
        var expected = try fields(KubeProxyConfiguration())
        #expect(expected[setting.path] != setting.json, "the test needs another value")
        expected[setting.path] = setting.json
        #expect(try fields(read(setting.path, setting.file)) == expected)
    }

    @Test(arguments: SettingCase.all)
    func `null is the default`(setting: SettingCase) throws {
        #expect(try read(setting.path, "null") == KubeProxyConfiguration())
        #expect(try read(setting.path, "") == KubeProxyConfiguration())
    }

    @Test(arguments: SettingCase.all.filter { $0.flag != nil })
    func `a flag means what its field means, and those that share it too`(
        setting: SettingCase
    ) throws {
        let flag = try #require(setting.flag)
        let name = flag.prefix { $0 != "=" }
        var expected = try fields(KubeProxyConfiguration())
        for other in SettingCase.all where other.flag?.prefix(while: { $0 != "=" }) == name {
            expected[other.path] = other.json
        }
        var configuration = KubeProxyConfiguration()
        try GivenFlags([flag]).apply(to: &configuration, besideFile: false)
        #expect(try fields(configuration) == expected)
    }

    @Test(arguments: SettingCase.all)
    func `an empty value is the default where Go cannot tell it from none`(
        setting: SettingCase
    ) throws {
        let empty =
            switch setting.json.first {
            case "\"": setting.json.hasSuffix("0s\"") ? "0s" : "\"\""
            case "{": "{}"
            case "[": "[]"
            case "t", "f": "false"
            default: "0"
            }
        let expected = try fields(KubeProxyConfiguration())[setting.path]
        let found = try fields(read(setting.path, empty))[setting.path]
        if setting.emptyIsDefault {
            #expect(found == expected)
        } else {
            #expect(found == (empty == "0s" ? "\"0s\"" : empty))
        }
    }

    @Test(arguments: SettingCase.all)
    func `what is written is read again, and a live change is that field's alone`(
        setting: SettingCase
    ) throws {
        let configuration = try read(setting.path, setting.file)
        let (again, warnings) = try KubeProxyConfiguration.read(yaml: configuration.yaml)
        #expect(again == configuration && warnings.isEmpty)
        let live = KubeProxyConfiguration().applyingLive(of: configuration)
        let isLive = Setting.all.first { $0.path == setting.path }?.isLive == true
        #expect(live == (isLive ? configuration : KubeProxyConfiguration()))
    }

    @Test(arguments: SettingCase.all)
    func `a value of another kind is refused with the field's name`(setting: SettingCase) throws {
        let isList = setting.json.hasPrefix("[")
        let error = #expect(throws: ConfigurationProblem.self) {
            _ = try read(setting.path, isList ? "{a: b}" : "[[a]]")
        }
        #expect(error?.field == setting.path)
        #expect(error?.line != nil)
    }
}
