import Configuration
import Testing

/// Tests with files that kube-proxy 1.36 accepts although they are not quite valid.
@Suite struct LenientFileTests {
    private static let head = """
        apiVersion: kubeproxy.config.k8s.io/v1alpha1
        kind: KubeProxyConfiguration

        """

    private func read(
        _ text: String
    ) throws -> (configuration: KubeProxyConfiguration, warnings: [ConfigurationProblem]) {
        try KubeProxyConfiguration.read(yaml: text)
    }

    @Test(arguments: [
        (
            head + "mode: nftables\nclusterCIDR: 10.0.0.0/8\nmode: ipvs\n",
            "mode (line 3): given again further down; the last one counts"
        ),
        (
            head + "mode: nftables\n\"mode\": iptables\n'mode': ipvs\n",
            "mode (line 3), mode (line 4): given again further down; the last one counts"
        ),
        (
            head + "conntrack: {min: 5, min: 6}\nmode: ipvs\n",
            "min (line 3): given again further down; the last one counts"
        ),
        (
            "{apiVersion: kubeproxy.config.k8s.io/v1alpha1, kind: A, kind: KubeProxyConfiguration,"
                + " mode: ipvs}",
            "kind (line 1): given again further down; the last one counts"
        ),
        (
            head.replacing("\n", with: "\r\n") + "# é\r\nmode: a\r\nmode: ipvs\r\n",
            "mode (line 4): given again further down; the last one counts"
        ),
        ("\u{FEFF}" + head + "mode: ipvs\n", "line 1: a byte order mark is ignored"),
        (head + "mode: ipvs\n---\nmode: nftables\n", "line 5: a second document is not read"),
        (head + "mode: ipvs\n---\n[not, yaml\n", "line 4: a second document is not read"),
    ])
    func `a file that is not strict works, with one warning`(text: String, warning: String) throws {
        let (configuration, warnings) = try read(text)
        #expect(configuration.mode == "ipvs")
        #expect(warnings.map(\.description) == [warning])
    }

    @Test func `the last of equal maps counts whole`() throws {
        let text = Self.head + "conntrack: {min: 5, maxPerCore: 7}\nconntrack: {min: 6}\n"
        let conntrack = try read(text).configuration.conntrack
        #expect(conntrack.min == 6 && conntrack.maxPerCore == 32768)
    }

    @Test func `of equal gates the last one counts`() throws {
        let (configuration, warnings) = try read(Self.head + "featureGates: {A: true, A: false}\n")
        #expect(configuration.featureGates == ["A": false] && warnings.count == 1)
    }

    @Test(arguments: ["---\n" + head, head + "---\n", head + "...\n", "# a\n" + head])
    func `one document is one, however it begins and ends`(text: String) throws {
        #expect(try read(text).warnings.isEmpty)
    }

    @Test func `equal keys without end are one short warning`() throws {
        let text = Self.head + String(repeating: "mode: ipvs\n", count: 300)
        let warnings = try read(text).warnings.map(\.description)
        #expect(warnings.count == 1 && warnings[0].contains("mode (line 12), 289 more"))
    }

    @Test func `aliases that stand for too much are an error`() throws {
        var text = Self.head + "anchors:\n- &a0 [1]\n"
        for number in 1...40 {
            let alias = "*a\(number - 1)"
            text += "- &a\(number) [\(alias), \(alias), \(alias)]\n"
        }
        let error = #expect(throws: ConfigurationProblem.self) { try read(text) }
        #expect(error?.description.contains("aliases stand for too much") == true)
    }

    @Test(arguments: [
        ("5000000000", 5.0), ("5e9", 5), ("1500000000.0", 1.5), ("7s", 7), ("0", 5), ("\"8s\"", 8),
    ])
    func `the flush frequency is a duration or nanoseconds`(text: String, seconds: Double) throws {
        let logging = try read(Self.head + "logging: {flushFrequency: \(text)}\n").configuration
            .logging
        #expect(logging.flushFrequency.seconds == seconds)
    }

    @Test(arguments: ["32000", "32000.0", "3.2e4", "0x7d00", "+32000", "32_000"])
    func `a whole number may be written as Go reads it`(text: String) throws {
        let conntrack = try read(Self.head + "conntrack: {maxPerCore: \(text)}\n").configuration
            .conntrack
        #expect(conntrack.maxPerCore == 32000)
    }

    @Test(arguments: ["true", "True", "yes", "on", "y"])
    func `a boolean may be written as YAML 1_1 has it`(text: String) throws {
        let file = Self.head + "bindAddressHardFail: \(text)\nfeatureGates: {A: \(text)}\n"
        let configuration = try read(file).configuration
        #expect(configuration.bindAddressHardFail && configuration.featureGates == ["A": true])
    }
}
