import Configuration
import TestSupport
import Testing

/// Tests with the arguments and files with which distributions start kube-proxy.
@Suite struct DistributionTests {
    private struct Effective {
        var configuration: KubeProxyConfiguration
        var others: [String] = []
    }

    private func start(_ arguments: [String], file: String? = nil) throws -> Effective {
        let grammar = FlagGrammar(
            others: ["config": .value, "master": .value],
            letters: ["v": "v"]
        )
        let rewritten = try grammar.rewritten(arguments)
        let prefix = "--setting="
        let flags = try GivenFlags(
            rewritten.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        )
        var result = Effective(configuration: KubeProxyConfiguration())
        if let file {
            let (configuration, warnings) = try KubeProxyConfiguration.read(yaml: file)
            #expect(warnings.isEmpty)
            #expect(flags.ignoredBesideFile.isEmpty)
            result.configuration = configuration
        }
        try flags.apply(to: &result.configuration, besideFile: file != nil)
        result.others = rewritten.filter { !$0.hasPrefix(prefix) }
        #expect(result.configuration.validate().isEmpty)
        return result
    }

    @Test func `kubeadm: a file, and the node's name`() throws {
        let effective = try start(
            ["--config=/var/lib/kube-proxy/config.conf", "--hostname-override=worker-1"],
            file: Fixture.text("Fixtures/kubeadm-kube-proxy.yaml")
        )
        var expected = KubeProxyConfiguration()
        expected.hostnameOverride = "worker-1"
        expected.clusterCIDR = "10.244.0.0/16"
        expected.clientConnection.kubeconfig = "/var/lib/kube-proxy/kubeconfig.conf"
        #expect(effective.configuration == expected)
        #expect(effective.others == ["--config=/var/lib/kube-proxy/config.conf"])
    }

    @Test func `k3s: conntrack left alone, health on the loopback address`() throws {
        let effective = try start([
            "--cluster-cidr=10.42.0.0/16", "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-close-wait=0s", "--conntrack-tcp-timeout-established=0s",
            "--healthz-bind-address=127.0.0.1", "--hostname-override=server-0",
            "--kubeconfig=/var/lib/rancher/k3s/agent/kubeproxy.kubeconfig", "--proxy-mode=iptables",
        ])
        var expected = KubeProxyConfiguration()
        expected.clusterCIDR = "10.42.0.0/16"
        expected.conntrack.maxPerCore = 0
        expected.conntrack.tcpCloseWaitTimeout = TimeSpan()
        expected.conntrack.tcpEstablishedTimeout = TimeSpan()
        expected.healthzBindAddress = "127.0.0.1"
        expected.hostnameOverride = "server-0"
        expected.clientConnection.kubeconfig = "/var/lib/rancher/k3s/agent/kubeproxy.kubeconfig"
        expected.mode = "iptables"
        #expect(effective.configuration == expected)
        #expect(effective.configuration.healthzAddress == "127.0.0.1:10256")
        #expect(effective.configuration.metricsAddress == "127.0.0.1:10249")
    }

    @Test(arguments: [("ClusterCIDR", ""), ("InterfaceNamePrefix", "azv")])
    func `AKS: an empty prefix, or one`(mode: String, prefix: String) throws {
        let effective = try start([
            "--conntrack-max-per-core=0", "--metrics-bind-address=0.0.0.0:10249",
            "--cluster-cidr=10.244.0.0/16", "--detect-local-mode=\(mode)",
            "--pod-interface-name-prefix=\(prefix)", "--v=3",
        ])
        var expected = KubeProxyConfiguration()
        expected.conntrack.maxPerCore = 0
        expected.metricsBindAddress = "0.0.0.0:10249"
        expected.clusterCIDR = "10.244.0.0/16"
        expected.detectLocalMode = mode
        expected.detectLocal.interfaceNamePrefix = prefix
        expected.logging.verbosity = 3
        #expect(effective.configuration == expected)
    }

    @Test func `EKS: a file in the older form`() throws {
        let effective = try start(
            [
                "--v=2", "--config=/var/lib/kube-proxy-config/config",
                "--hostname-override=ip-10-0-1-2",
            ],
            file: """
                apiVersion: kubeproxy.config.k8s.io/v1alpha1
                kind: KubeProxyConfiguration
                mode: "iptables"
                bindAddress: 0.0.0.0
                clusterCIDR: ""
                hostnameOverride: ""
                healthzBindAddress: 0.0.0.0:10256
                metricsBindAddress: 0.0.0.0:10249
                enableProfiling: false
                configSyncPeriod: 15m0s
                oomScoreAdj: -998
                portRange: ""
                nodePortAddresses: null
                clientConnection:
                  acceptContentTypes: ""
                  contentType: application/vnd.kubernetes.protobuf
                  kubeconfig: /var/lib/kube-proxy/kubeconfig
                  qps: 5
                  burst: 10
                conntrack:
                  maxPerCore: 32768
                  min: 131072
                  tcpCloseWaitTimeout: 1h0m0s
                  tcpEstablishedTimeout: 24h0m0s
                iptables: {masqueradeAll: false, masqueradeBit: 14, minSyncPeriod: 0s, syncPeriod: 30s}
                ipvs: {excludeCIDRs: null, minSyncPeriod: 0s, scheduler: "", syncPeriod: 30s}

                """
        )
        var expected = KubeProxyConfiguration()
        (expected.mode, expected.hostnameOverride) = ("iptables", "ip-10-0-1-2")
        expected.healthzBindAddress = "0.0.0.0:10256"
        expected.metricsBindAddress = "0.0.0.0:10249"
        expected.oomScoreAdj = -998
        expected.clientConnection.kubeconfig = "/var/lib/kube-proxy/kubeconfig"
        expected.logging.verbosity = 2
        #expect(effective.configuration == expected)
        #expect(effective.configuration.idleSettings.isEmpty)
    }

    @Test func `kops: flags alone`() throws {
        let effective = try start([
            "--cluster-cidr=100.96.0.0/11", "--conntrack-max-per-core=131072",
            "--hostname-override=i-0123456789", "--kubeconfig=/var/lib/kube-proxy/kubeconfig",
            "--master=https://api.internal.example", "--oom-score-adj=-998", "--v=2",
        ])
        var expected = KubeProxyConfiguration()
        expected.clusterCIDR = "100.96.0.0/11"
        expected.conntrack.maxPerCore = 131_072
        expected.hostnameOverride = "i-0123456789"
        expected.clientConnection.kubeconfig = "/var/lib/kube-proxy/kubeconfig"
        (expected.oomScoreAdj, expected.logging.verbosity) = (-998, 2)
        #expect(effective.configuration == expected)
        #expect(effective.others == ["--master=https://api.internal.example"])
    }
}
