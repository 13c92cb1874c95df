import Configuration
import Testing

/// `pkg/proxy/apis/config/validation/validation.go`, field by field: the last value that is allowed,
/// and the first that is not.
@Suite struct ValidationTests {
    private func problems(_ text: String) throws -> [ConfigurationProblem] {
        try KubeProxyConfiguration.read(
            yaml: """
                apiVersion: kubeproxy.config.k8s.io/v1alpha1
                kind: KubeProxyConfiguration
                \(text)
                """
        ).configuration.validate()
    }

    @Test(
        arguments: [
            "mode: nftables", "mode: ipvs", "mode: iptables", "mode: \"\"",
            "iptables: {masqueradeBit: 0}", "iptables: {masqueradeBit: 31}",
            "nftables: {masqueradeBit: 31}", "conntrack: {maxPerCore: 0}", "conntrack: {min: 0}",
            "oomScoreAdj: -1000", "oomScoreAdj: 1000", "bindAddress: \"::\"",
            "bindAddress: 192.0.2.1", "healthzBindAddress: \"[fd00::1]:80\"",
            "healthzBindAddress: 1.2.3.4:65535", "metricsBindAddress: \"[::]:1\"",
            "clusterCIDR: 10.0.0.0/8", "clusterCIDR: \"10.0.0.0/8,fd00::/8\"",
            "clusterCIDR: \"fd00::/8, 10.0.0.0/8\"", "ipvs: {excludeCIDRs: [10.0.0.0/8, fd00::/8]}",
            "nodePortAddresses: [primary]", "nodePortAddresses: [localhost, all, 10.0.0.0/8]",
            "ipvs: {minSyncPeriod: 30s}", "iptables: {syncPeriod: 1s, minSyncPeriod: 1s}",
            "ipvs: {tcpTimeout: 2000000s}", "ipvs: {udpTimeout: 0s}",
            "conntrack: {tcpEstablishedTimeout: 2000000s}", "configSyncPeriod: 1ns",
            "detectLocalMode: ClusterCIDR", "detectLocalMode: NodeCIDR",
            "{detectLocalMode: BridgeInterface, detectLocal: {bridgeInterface: br0}}",
            "hostnameOverride: Node-1.example", "hostnameOverride: \" node \"",
            "logging: {format: json}", "clientConnection: {contentType: application/json}",
            "needletail: {nodeIPs: [192.0.2.1, fd00::1]}", "needletail: {serviceMetrics: 10000}",
            "needletail: {endpointsSource: endpoints}", "needletail: {ipvsDrainTimeout: 0s}",
        ]
    )
    func `what kube-proxy takes is taken`(text: String) throws {
        let isFlow = text.hasPrefix("{")
        let body =
            isFlow
            ? String(text.dropFirst().dropLast()).replacing(", detectLocal", with: "\ndetectLocal")
            : text
        #expect(try problems(body).isEmpty)
    }

    @Test(
        arguments: [
            ("mode: IPVS", "mode", #""IPVS" is none of nftables, ipvs, iptables"#),
            ("iptables: {masqueradeBit: -1}", "iptables.masqueradeBit", "-1 is not 0-31"),
            ("nftables: {masqueradeBit: 32}", "nftables.masqueradeBit", "32 is not 0-31"),
            ("logging: {verbosity: -1}", "logging.verbosity", "-1 is less than 0"),
            ("clientConnection: {burst: -1}", "clientConnection.burst", "-1 is less than 0"),
            ("oomScoreAdj: 1001", "oomScoreAdj", "1001 is not between -1000 and 1000"),
            ("bindAddress: 192.0.2.1:80", "bindAddress", #""192.0.2.1:80" is no IP address"#),
            (
                "ipvs: {excludeCIDRs: [x]}", "ipvs.excludeCIDRs",
                #""x" is not a CIDR block, as 10.244.0.0/16 is"#
            ),
            ("needletail: {nodeIPs: [x]}", "needletail.nodeIPs", #""x" is no IP address"#),
            (
                "needletail: {namespaceWarnings: 0}", "needletail.namespaceWarnings",
                "0 is not 1-10000"
            ),
            (
                "needletail: {serviceMetrics: 10001}", "needletail.serviceMetrics",
                "10001 is not 0-10000"
            ),
            (
                "needletail: {endpointsSource: slices}", "needletail.endpointsSource",
                #""slices" is neither endpointslices nor endpoints"#
            ),
            (
                "needletail: {ipvsDrainTimeout: -1m}", "needletail.ipvsDrainTimeout",
                "-1m0s is not between 0s and 2000000s"
            ),
            (
                "ipvs: {tcpTimeout: 2000001s}", "ipvs.tcpTimeout",
                "555h33m21s is not between 0s and 2000000s"
            ),
            (
                "iptables: {syncPeriod: -1s}", "iptables.syncPeriod",
                "-1s is no period; it has to be more than 0s"
            ),
            (
                "nftables: {syncPeriod: 1s, minSyncPeriod: 2s}", "nftables.minSyncPeriod",
                "2s is more than the sync period, 1s"
            ),
            (
                "hostnameOverride: node_1", "hostnameOverride",
                #""node_1" cannot be the name of a node: letters, digits, "-" and ".""#
            ),
            (
                "hostnameOverride: \" \"", "hostnameOverride",
                #"" " cannot be the name of a node: letters, digits, "-" and ".""#
            ),
            (
                "detectLocalMode: InterfaceNamePrefix", "detectLocal.interfaceNamePrefix",
                "is empty; detectLocalMode InterfaceNamePrefix needs it"
            ),
        ]
    )
    func `what kube-proxy refuses is told with field, value and what is allowed`(
        text: String,
        field: String,
        reason: String
    ) throws {
        let problems = try problems(text)
        #expect(problems.map(\.field).contains(field), "\(problems)")
        #expect(problems.map(\.reason).contains(reason), "\(problems)")
    }

    // IFNAMSIZ is 16 with the closing zero; net/core/dev.c: dev_valid_name.
    @Test(
        arguments: [
            ("123456789012345", true), ("1234567890123456", false), ("a b", false), ("a/b", false),
            ("veth*", false), ("ä23456789012345", false), ("ve\"th", false), ("eth0.1", true),
        ]
    )
    func `an interface's name is one that the kernel takes`(name: String, isGood: Bool) throws {
        var configuration = KubeProxyConfiguration()
        configuration.detectLocalMode = "BridgeInterface"
        configuration.detectLocal.bridgeInterface = name
        #expect(configuration.validate().isEmpty == isGood)
        // In another mode nobody reads it.
        configuration.detectLocalMode = "NodeCIDR"
        #expect(configuration.validate().isEmpty)
    }

    @Test func `a flag that sets two fields is told once`() throws {
        var configuration = KubeProxyConfiguration()
        configuration.iptables.masqueradeBit = 40
        configuration.nftables.masqueradeBit = 40
        #expect(configuration.validate().count == 1)
        configuration.nftables.masqueradeBit = 41
        #expect(configuration.validate().count == 2)
    }

    @Test func `every problem is told at once`() throws {
        let problems = try problems(
            "mode: x\noomScoreAdj: 2000\nclusterCIDR: y\nlogging: {format: z, verbosity: -1}"
        )
        #expect(
            Set(problems.map(\.field)) == [
                "mode", "oomScoreAdj", "clusterCIDR", "logging.format", "logging.verbosity",
            ]
        )
    }

    @Test func `a problem's text has the field's flag`() throws {
        #expect(
            try problems("mode: x").map(\.description)
                == [#"mode (--proxy-mode): "x" is none of nftables, ipvs, iptables"#]
        )
    }
}
