import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

@Suite struct NodeConfigurationTests {
    private let interfaces = [
        "127.0.0.1", "192.0.2.1", "192.0.2.9", "10.244.0.1", "fe80::1", "2001:db8::1",
    ].map(ip)

    @Test func `NodePorts answer on the primary addresses by default`() {
        var node = Node(name: "here")
        node.addresses = ["192.0.2.1", "192.0.2.9", "2001:db8::1"].map(ip)
        let configuration = NodeConfiguration(nodeName: "here")
        #expect(
            configuration.view(node: node, interfaceAddresses: []).nodePortAddresses
                == ["192.0.2.1", "2001:db8::1"].map(ip)
        )
    }

    @Test func `NodePorts follow interfaces within blocks, never on loopback or link-local`() {
        var configuration = NodeConfiguration(nodeName: "here")
        configuration.nodePortAddresses = NodePortAddresses(["all"])
        #expect(configuration.followsInterfaces)
        let view = configuration.view(node: nil, interfaceAddresses: interfaces)
        #expect(
            view.nodePortAddresses
                == ["192.0.2.1", "192.0.2.9", "10.244.0.1", "2001:db8::1"].map(ip)
        )
    }

    @Test func `primary addresses and blocks add up, each address once`() {
        var configuration = NodeConfiguration(nodeName: "here")
        configuration.nodeIPs = ["192.0.2.9", "2001:db8::9"].map(ip)
        configuration.nodePortAddresses = NodePortAddresses(["primary", "192.0.2.0/24"])
        #expect(configuration.followsInterfaces)
        #expect(
            configuration.view(node: nil, interfaceAddresses: interfaces).nodePortAddresses
                == ["192.0.2.9", "2001:db8::9", "192.0.2.1"].map(ip)
        )
    }

    @Test
    func `a node's own addresses are those of its Node and of flags, its interfaces have more`() {
        var node = Node(name: "here")
        node.addresses = ["192.0.2.1", "203.0.113.1"].map(ip)
        var configuration = NodeConfiguration(nodeName: "here")
        configuration.nodeIPs = [ip("192.0.2.7")]
        let view = configuration.view(node: node, interfaceAddresses: interfaces)
        #expect(view.ownAddresses == Set(["192.0.2.1", "192.0.2.7", "203.0.113.1"].map(ip)))
        #expect(view.addresses == view.ownAddresses.union(interfaces))
        #expect(view.protectedPorts.keys.sorted() == [22, 10250])
    }

    @Test func `pods cannot be told in a family without a block`() {
        var configuration = NodeConfiguration(nodeName: "here")
        configuration.podCIDRs = .cluster([prefix("10.244.0.0/16")])
        let facts = configuration.facts(node: nil, serviceCIDRs: [])
        #expect(facts.localDetection(.ipv4) == .podCIDRs)
        #expect(facts.localDetection(.ipv6) == .none)
    }

    @Test func `NodeCIDR takes the Node's blocks`() {
        var configuration = NodeConfiguration(nodeName: "here")
        configuration.podCIDRs = .node
        var node = Node(name: "here")
        #expect(configuration.facts(node: node, serviceCIDRs: []).localDetection(.ipv4) == .none)
        node.podCIDRs = [prefix("10.244.3.0/24")]
        #expect(
            configuration.facts(node: node, serviceCIDRs: []).podCIDRs == [prefix("10.244.3.0/24")]
        )
    }
}
