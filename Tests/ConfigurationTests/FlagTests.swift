import Configuration
import Testing

/// Tests that flags are read as pflag reads them.
@Suite struct FlagTests {
    private let grammar = FlagGrammar(
        others: ["once": .boolean, "config": .value, "output": .value],
        letters: ["v": "v", "o": "output"],
        aliases: ["mode": "proxy-mode"]
    )

    private func configuration(
        _ arguments: [String],
        besideFile: Bool = false
    ) throws -> KubeProxyConfiguration {
        let words = try grammar.rewritten(arguments).map { word in
            try #require(word.hasPrefix("--setting="))
            return String(word.dropFirst("--setting=".count))
        }
        var result = KubeProxyConfiguration()
        try GivenFlags(words).apply(to: &result, besideFile: besideFile)
        return result
    }

    @Test(arguments: [
        ["--cluster-cidr=10.0.0.0/8"], ["--cluster-cidr", "10.0.0.0/8"],
        ["--cluster_cidr=10.0.0.0/8"], ["--cluster-cidr=fd00::/8", "--cluster-cidr=10.0.0.0/8"],
    ])
    func `a value may follow in any way, and the last one counts`(arguments: [String]) throws {
        #expect(try configuration(arguments).clusterCIDR == "10.0.0.0/8")
    }

    @Test(arguments: [["-v4"], ["-v", "4"], ["-v=4"], ["--v=4"], ["--v", "4"], ["-v0x4"]])
    func `verbosity has a letter`(arguments: [String]) throws {
        #expect(try configuration(arguments).logging.verbosity == 4)
    }

    @Test(arguments: [
        (["--oom-score-adj", "-998"], -998), (["--oom-score-adj=-998"], -998),
        (["--oom_score_adj=017"], 15), (["--oom-score-adj=+7"], 7),
        (["--oom-score-adj=1_000"], 1000),
    ])
    func `a number may be negative, and in Go's spelling`(arguments: [String], value: Int) throws {
        #expect(try configuration(arguments).oomScoreAdj == value)
    }

    @Test(arguments: [
        (["--masquerade-all"], true), (["--masquerade-all=T"], true),
        (["--masquerade-all=1"], true), (["--masquerade-all=TRUE"], true),
        (["--masquerade-all=f"], false), (["--masquerade-all", "--masquerade-all=0"], false),
    ])
    func `a boolean needs no value, or takes Go's`(arguments: [String], value: Bool) throws {
        let configuration = try configuration(arguments)
        #expect(configuration.iptables.masqueradeAll == value)
        #expect(configuration.nftables.masqueradeAll == value)
    }

    @Test func `lists and maps accumulate`() throws {
        let configuration = try configuration([
            "--feature-gates=A=false", "--feature-gates=B=T,C=1", "--feature-gates", "A=true",
            "--nodeport-addresses=10.0.0.0/8", "--nodeport-addresses=192.0.2.0/24,fd00::/8",
            "--ipvs-exclude-cidrs=10.1.0.0/16", "--ipvs-exclude-cidrs=10.2.0.0/16",
            "--node-ip=192.0.2.1", "--node-ip=fd00::1", "--vmodule=a=1", "--vmodule=b=2",
        ])
        #expect(configuration.featureGates == ["A": true, "B": true, "C": true])
        #expect(configuration.nodePortAddresses == ["10.0.0.0/8", "192.0.2.0/24", "fd00::/8"])
        #expect(configuration.ipvs.excludeCIDRs == ["10.1.0.0/16", "10.2.0.0/16"])
        #expect(configuration.needletail.nodeIPs == ["192.0.2.1", "fd00::1"])
        #expect(configuration.logging.vmodule == ["a=1", "b=2"])
    }

    @Test func `an empty value is empty`() throws {
        let configuration = try configuration([
            "--pod-interface-name-prefix=", "--healthz-bind-address=", "--metrics-bind-address", "",
            "--cluster-cidr=", "--nodeport-addresses=", "--feature-gates=", "--bind-address=",
            "--kubeconfig=", "--hostname-override=", "--proxy-mode=", "--kube-api-content-type=",
        ])
        var expected = KubeProxyConfiguration()
        (expected.healthzBindAddress, expected.metricsBindAddress) = ("none", "none")
        #expect(configuration == expected)
        #expect(configuration.healthzAddress.isEmpty && configuration.metricsAddress.isEmpty)
        #expect(configuration.validate().isEmpty)
        let (again, _) = try KubeProxyConfiguration.read(yaml: configuration.yaml)
        #expect(again == configuration)
    }

    @Test(arguments: [
        (["--healthz-port=1"], "0.0.0.0:1"), (["--healthz-port=0"], ""),
        (["--healthz-bind-address=192.0.2.1", "--healthz-port=1"], "192.0.2.1:1"),
        (["--healthz-port=1", "--healthz-bind-address=192.0.2.1:2"], "192.0.2.1:2"),
        (["--healthz-port=1", "--bind-address=::"], "[::]:1"),
        (["--healthz-port=1", "--healthz-bind-address="], ""),
        (["--healthz-bind-address=127.0.0.1"], "127.0.0.1:10256"),
    ])
    func `a port completes an address`(arguments: [String], address: String) throws {
        #expect(try configuration(arguments).healthzAddress == address)
    }

    @Test func `beside a file only some apply`() throws {
        let arguments = [
            "--cluster-cidr=10.0.0.0/8", "--hostname-override=a", "-v", "3",
            "--log-text-split-stream", "--node-ip=192.0.2.1", "--healthz-port=1",
        ]
        var expected = KubeProxyConfiguration()
        (expected.hostnameOverride, expected.logging.verbosity) = ("a", 3)
        (expected.logging.textSplitStream, expected.needletail.nodeIPs) = (true, ["192.0.2.1"])
        #expect(try configuration(arguments, besideFile: true) == expected)
        let flags = try GivenFlags(["cluster-cidr=10.0.0.0/8", "v=3", "healthz-port=1"])
        #expect(flags.ignoredBesideFile == ["--cluster-cidr", "--healthz-port"])
    }

    @Test(arguments: [
        (
            ["run", "--once=true", "-ojson", "--config", "a=b"],
            ["run", "--once", "--output=json", "--config=a=b"]
        ),
        (["--once=F", "--config="], []),
        (
            ["-", "x", "-z", "--unknown", "y"],
            ["-", "x", "-z", "--unknown", "y"]
        ),
        (
            ["--mode=ipvs", "--", "--cluster-cidr=x"],
            ["--setting=proxy-mode=ipvs", "--", "--cluster-cidr=x"]
        ),
        (["--hostname-override", "--config"], ["--setting=hostname-override=--config"]),
    ])
    func `flags of commands are rewritten, what is unknown stays`(
        arguments: [String],
        rewritten: [String]
    ) throws {
        #expect(try grammar.rewritten(arguments) == rewritten)
    }

    @Test func `a flag is named once, and has a help`() {
        let names = SettingFlag.all.map(\.name)
        #expect(Set(names).count == names.count && names.count > 50)
        for flag in SettingFlag.all { #expect(flag.help.hasSuffix("."), "\(flag.name)") }
        for setting in Setting.all { #expect(setting.help.hasSuffix("."), "\(setting.path)") }
    }

    @Test func `a flag with an effect elsewhere is not called idle`() throws {
        let idle = try configuration(["--iptables-sync-period=1m", "--iptables-masquerade-bit=3"])
            .idleSettings
        #expect(idle.count == 1 && idle[0].field.contains("masqueradeBit"), "\(idle)")
    }
}
