import Configuration
import Foundation
import TestSupport
import Testing

@Suite struct ConfigurationTests {
    private static let head = """
        apiVersion: kubeproxy.config.k8s.io/v1alpha1
        kind: KubeProxyConfiguration

        """

    private func read(
        _ text: String
    ) throws -> (configuration: KubeProxyConfiguration, warnings: [ConfigurationProblem]) {
        try KubeProxyConfiguration.read(yaml: Self.head + text)
    }

    /// The fields of kube-proxy 1.36 with their defaults, in its own spelling.
    static let inventory: [(String, String)] = [
        ("featureGates", "{}"), ("clientConnection.kubeconfig", "\"\""),
        ("clientConnection.acceptContentTypes", "\"\""),
        ("clientConnection.contentType", "\"application/vnd.kubernetes.protobuf\""),
        ("clientConnection.qps", "5"), ("clientConnection.burst", "10"),
        ("logging.format", "\"text\""), ("logging.flushFrequency", "\"5s\""),
        ("logging.verbosity", "0"), ("logging.vmodule", "[]"),
        ("logging.options.text.splitStream", "false"),
        ("logging.options.text.infoBufferSize", "\"0\""),
        ("logging.options.json.splitStream", "false"),
        ("logging.options.json.infoBufferSize", "\"0\""), ("hostnameOverride", "\"\""),
        ("bindAddress", "\"0.0.0.0\""), ("healthzBindAddress", "\"\""),
        ("metricsBindAddress", "\"\""), ("bindAddressHardFail", "false"),
        ("enableProfiling", "false"), ("showHiddenMetricsForVersion", "\"\""), ("mode", "\"\""),
        ("nodePortAddresses", "[]"), ("conntrack.maxPerCore", "32768"),
        ("conntrack.min", "131072"), ("conntrack.tcpBeLiberal", "false"),
        ("conntrack.tcpEstablishedTimeout", "\"24h0m0s\""),
        ("conntrack.tcpCloseWaitTimeout", "\"1h0m0s\""), ("conntrack.udpTimeout", "\"0s\""),
        ("conntrack.udpStreamTimeout", "\"0s\""), ("configSyncPeriod", "\"15m0s\""),
        ("iptables.masqueradeBit", "14"), ("iptables.masqueradeAll", "false"),
        ("iptables.localhostNodePorts", "true"), ("iptables.syncPeriod", "\"30s\""),
        ("iptables.minSyncPeriod", "\"1s\""), ("ipvs.syncPeriod", "\"30s\""),
        ("ipvs.minSyncPeriod", "\"0s\""), ("ipvs.scheduler", "\"\""), ("ipvs.excludeCIDRs", "[]"),
        ("ipvs.strictARP", "false"), ("ipvs.tcpTimeout", "\"0s\""),
        ("ipvs.tcpFinTimeout", "\"0s\""), ("ipvs.udpTimeout", "\"0s\""),
        ("nftables.masqueradeBit", "14"), ("nftables.masqueradeAll", "false"),
        ("nftables.syncPeriod", "\"30s\""), ("nftables.minSyncPeriod", "\"1s\""),
        ("winkernel.networkName", "\"\""), ("winkernel.sourceVip", "\"\""),
        ("winkernel.rootHnsEndpointName", "\"\""), ("winkernel.enableDSR", "false"),
        ("winkernel.forwardHealthCheckVip", "false"), ("detectLocalMode", "\"\""),
        ("detectLocal.bridgeInterface", "\"\""), ("detectLocal.interfaceNamePrefix", "\"\""),
        ("clusterCIDR", "\"\""), ("oomScoreAdj", "-999"), ("portRange", "\"\""),
        ("windowsRunAsService", "false"),
    ]

    @Test func `every field of kube-proxy is there, with its default`() throws {
        let json = try JSONSerialization.jsonObject(with: Data(KubeProxyConfiguration().json.utf8))
        for (path, expected) in Self.inventory {
            var value: Any? = json
            for word in path.split(separator: ".") {
                value = (value as? [String: Any])?[String(word)]
            }
            let found = try #require(value, "\(path)")
            let text = String(
                decoding: try JSONSerialization.data(
                    withJSONObject: found,
                    options: [.fragmentsAllowed, .withoutEscapingSlashes]
                ),
                as: UTF8.self
            )
            #expect(text == expected, "\(path)")
        }
        let others = Set(Setting.all.map(\.path)).subtracting(Self.inventory.map(\.0))
        #expect(others.allSatisfy { $0.hasPrefix("needletail.") }, "\(others)")
    }

    @Test func `kubeadm's file is read without a warning`() throws {
        let text = try Fixture.text("Fixtures/kubeadm-kube-proxy.yaml")
        let (configuration, warnings) = try KubeProxyConfiguration.read(yaml: text)
        #expect(warnings.isEmpty && configuration.validate().isEmpty)
        var expected = KubeProxyConfiguration()
        expected.clusterCIDR = "10.244.0.0/16"
        expected.clientConnection.kubeconfig = "/var/lib/kube-proxy/kubeconfig.conf"
        #expect(configuration == expected)
        #expect(configuration.idleSettings.isEmpty)
        #expect(configuration.healthzAddress == "0.0.0.0:10256")
        #expect(configuration.metricsAddress == "127.0.0.1:10249")
    }

    @Test func `what is written is read again`() throws {
        var configuration = KubeProxyConfiguration()
        configuration.nodePortAddresses = ["192.0.2.0/24", "2001:db8::/32"]
        configuration.featureGates = ["A": true, "B: {": false]
        configuration.hostnameOverride = "a \"quoted\\name\n\u{1}\u{85}\u{FEFF}é\u{1F9F5}"
        configuration.showHiddenMetricsForVersion = "Null"
        configuration.conntrack.udpTimeout = try #require(TimeSpan("1h2m3.5s"))
        configuration.clientConnection.qps = 0.5
        configuration.mode = "ipvs"
        let (again, warnings) = try KubeProxyConfiguration.read(yaml: configuration.yaml)
        #expect(again == configuration && warnings.isEmpty)
    }

    @Test(arguments: [
        ("mode: 1\nnoSuchField: 2", "line 4: noSuchField: is no field"),
        ("conntrack: {max: 5}", "conntrack.max: is no field"),
    ])
    func `an unknown field is a warning`(text: String, warning: String) throws {
        let warnings = try read(text).warnings
        #expect(warnings.count == 1 && "\(warnings[0])".contains(warning), "\(warnings)")
    }

    @Test(arguments: [
        (
            "oomScoreAdj: low",
            "line 3: oomScoreAdj (--oom-score-adj): \"low\" is not a whole number"
        ),
        (
            "ipvs: {syncPeriod: 30}",
            "ipvs.syncPeriod (--ipvs-sync-period): \"30\" is not a duration"
        ),
        (
            "nodePortAddresses: primary",
            "nodePortAddresses (--nodeport-addresses): \"primary\" is not"
        ),
        ("bindAddressHardFail: maybe", "is not true or false"),
        ("featureGates: [a]", "featureGates (--feature-gates): is a list, not a map"),
        ("featureGates: {A: true, B: 1}", "featureGates.B (--feature-gates): \"1\" is not true"),
        ("featureGates: {A: \"true\"}", "featureGates.A (--feature-gates): \"true\" is not true"),
        ("nodePortAddresses: [a, [b]]", "nodePortAddresses[1] (--nodeport-addresses): is a list"),
        ("conntrack: {min: 1.5}", "conntrack.min (--conntrack-min): \"1.5\" is not a whole number"),
        ("ipvs: 5", "ipvs: \"5\" is not a map of fields"),
        ("clusterCIDR: [10.0.0.0/8]", "clusterCIDR (--cluster-cidr): is a list, not text"),
        ("mode: [", "is no valid YAML"),
    ])
    func `a value of another kind is an error`(text: String, reason: String) throws {
        let error = #expect(throws: ConfigurationProblem.self) { try read(text) }
        #expect("\(try #require(error))".contains(reason), "\(error.map { "\($0)" } ?? "")")
    }

    @Test(arguments: ["", "kind: KubeProxyConfiguration", "apiVersion: v1\nkind: ConfigMap", "[]"])
    func `another file is an error`(text: String) {
        #expect(throws: ConfigurationProblem.self) { try KubeProxyConfiguration.read(yaml: text) }
    }

    @Test(arguments: [
        ("mode: userspace", "mode"), ("iptables: {masqueradeBit: 32}", "iptables.masqueradeBit"),
        ("oomScoreAdj: -1001", "oomScoreAdj"),
        ("nftables: {syncPeriod: -1s}", "nftables.syncPeriod"),
        ("ipvs: {syncPeriod: 1s, minSyncPeriod: 2s}", "ipvs.minSyncPeriod"),
        ("configSyncPeriod: -1s", "configSyncPeriod"),
        ("metricsBindAddress: localhost:80", "metricsBindAddress"),
        ("healthzBindAddress: 1.2.3.4:99999", "healthzBindAddress"),
        ("nodePortAddresses: [primary, Localhost]", "nodePortAddresses"),
        ("healthzBindAddress: 1.2.3.4:0", "healthzBindAddress"),
        ("conntrack: {maxPerCore: -1}", "conntrack.maxPerCore"),
        ("conntrack: {min: -1}", "conntrack.min"),
        ("nodePortAddresses: [10.0.0.0]", "nodePortAddresses"),
        ("clusterCIDR: 10.0.0.0/8,10.1.0.0/16", "clusterCIDR"),
        ("clusterCIDR: \"10.0.0.0/8,fd00::/48,fd01::/48\"", "clusterCIDR"),
        ("conntrack: {udpTimeout: -5s}", "conntrack.udpTimeout"),
        ("ipvs: {tcpTimeout: -5s}", "ipvs.tcpTimeout"), ("bindAddress: here", "bindAddress"),
        ("detectLocalMode: BridgeInterface", "detectLocal.bridgeInterface"),
        ("detectLocalMode: Magic", "detectLocalMode"), ("logging: {format: xml}", "logging.format"),
        ("clientConnection: {contentType: text/plain}", "clientConnection.contentType"),
    ])
    func `what cannot be used is told with its field`(text: String, field: String) throws {
        let problems = try read(text).configuration.validate()
        #expect(problems.map(\.field).first == field, "\(problems)")
    }

    @Test(arguments: [
        ("healthzBindAddress: 192.0.2.1", "192.0.2.1:10256"),
        ("healthzBindAddress: \"[fd00::1]\"", "[fd00::1]:10256"),
        ("healthzBindAddress: \"fd00::1\"", "[fd00::1]:10256"),
        ("bindAddress: \"::\"", "[::]:10256"), ("healthzBindAddress: none", ""),
    ])
    func `the address of health gets its port`(text: String, address: String) throws {
        #expect(try read(text).configuration.healthzAddress == address)
    }

    @Test(arguments: [("", 41.0), ("iptables", 41), ("nftables", 42), ("ipvs", 43)])
    func `the sync period is that of the mode`(mode: String, seconds: Double) throws {
        let text = """
            mode: "\(mode)"
            iptables: {syncPeriod: 41s}
            nftables: {syncPeriod: 42s}
            ipvs: {syncPeriod: 43s}
            """
        #expect(try read(text).configuration.syncPeriod.seconds == seconds)
    }

    @Test func `what means nothing here says so`() throws {
        let text = "iptables: {minSyncPeriod: 10s}\nwinkernel: {enableDSR: true}"
        let idle = try read(text).configuration.idleSettings
        #expect(
            idle.map(\.field) == [
                "iptables.minSyncPeriod (--iptables-min-sync-period)", "winkernel.enableDSR",
            ]
        )
    }

    @Test func `what can change at run time is taken over alone`() throws {
        var new = KubeProxyConfiguration()
        (new.clusterCIDR, new.mode) = ("10.0.0.0/8", "ipvs")
        let applied = KubeProxyConfiguration().applyingLive(of: new)
        #expect(applied.clusterCIDR == "10.0.0.0/8" && applied.mode.isEmpty)
    }

    @Test(arguments: [
        ("1h2m3s", 3723.0), ("15m0s", 900), ("500ms", 0.5), ("0", 0), ("-2s", -2), ("1us", 1e-6),
    ])
    func `durations are Go's`(text: String, seconds: Double) {
        #expect(TimeSpan(text)?.seconds == seconds)
    }

    @Test(arguments: ["1ns", "250us", "0.4ns", "-3ns", "999us", "1.5ms", "1h0m0.25s", "86400s"])
    func `a duration that is written is read again`(text: String) throws {
        let span = try #require(TimeSpan(text))
        #expect(TimeSpan(span.description) == span, "\(span)")
    }

    @Test(arguments: ["", "5", "s", "1x", "1h2", "--1s", "999999999999h"])
    func `others are none`(text: String) { #expect(TimeSpan(text) == nil) }
}
