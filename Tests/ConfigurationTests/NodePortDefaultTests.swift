import Configuration
import NetworkTypes
import TestSupport
import Testing

/// Tests of the addresses on which NodePorts answer in each mode, since clusters rely on the
/// defaults.
@Suite struct NodePortDefaultTests {
    private func configuration(_ text: String) throws -> KubeProxyConfiguration {
        let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
        let (configuration, warnings) = try KubeProxyConfiguration.read(yaml: head + text)
        #expect(warnings.isEmpty && configuration.validate().isEmpty)
        return configuration
    }

    @Test(
        arguments: [
            ("mode: \"\"", ["all"], [.ipv4]),
            ("mode: iptables\nnodePortAddresses: null", ["all"], [.ipv4]),
            ("mode: iptables\niptables: {localhostNodePorts: false}", ["all"], []),
            ("mode: ipvs\nnodePortAddresses: []", ["primary"], []),
            ("mode: nftables", ["primary"], []),
            ("mode: iptables\nnodePortAddresses: [primary]", ["primary"], []),
            ("mode: iptables\nnodePortAddresses: [127.0.0.0/8]", ["127.0.0.0/8"], [.ipv4]),
            ("mode: iptables\nnodePortAddresses: [0.0.0.0/0]", ["0.0.0.0/0"], [.ipv4]),
            ("mode: nftables\nnodePortAddresses: [all]", ["all"], []),
            (
                "mode: nftables\nnodePortAddresses: [primary, localhost]", ["primary"],
                [.ipv4, .ipv6]
            ),
            ("mode: ipvs\nnodePortAddresses: [localhost]", [], [.ipv4, .ipv6]),
            (
                """
                mode: nftables
                nodePortAddresses: [primary, localhost]
                featureGates: {KubeProxyNFTablesLocalhostNodePorts: false}
                """, ["primary"], []
            ),
        ] as [(String, [String], Set<IPFamily>)]
    )
    func `an unset value means what it means in that mode of kube-proxy`(
        text: String,
        words: [String],
        localhost: Set<IPFamily>
    ) throws {
        var expected = NodePortAddresses(words)
        expected.localhost = localhost
        #expect(try configuration(text).nodePortAddressesInForce == expected)
    }

    @Test func `the default of mode iptables is told, once and where it matters`() throws {
        let told =
            "on all addresses of this node, 127.0.0.1 included, as in kube-proxy's mode iptables"
        #expect(try configuration("mode: \"\"").nodePortNotice?.contains(told) == true)
        for text in [
            "mode: nftables", "mode: ipvs", "mode: iptables\nnodePortAddresses: [primary]",
        ] { #expect(try configuration(text).nodePortNotice == nil) }
    }
}
