import KubernetesModel
import ModelKernel
import ModelSupport
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Devices that show the rules less than others: VRFs, and IPVLAN in mode l3.
@Suite struct DeviceTests {
    private let nodePort = FrontendKey(ip("192.0.2.1"), .tcp, 30_080)

    /// Returns a node with a Service whose endpoint is on another node.
    private func node(
        _ detection: LocalDetection,
        policy: TrafficPolicy
    ) throws -> ProgrammedNode {
        var node = try ProgrammedNode(detection)
        let builder = ClusterBuilder().with { builder in
            builder.service.type = .nodePort
            builder.service.ports[0].nodePort = 30_080
            builder.service.externalTrafficPolicy = policy
            builder.add()
            builder.slices[0].endpoints = [endpoint("10.0.0.2", on: "there")]
        }
        try node.program([builder])
        return node
    }

    /// Returns what becomes of a packet, by routes that know of no address of the node's.
    private func outcomes(
        _ node: ProgrammedNode,
        _ client: ProgrammedNode.Client,
        _ key: FrontendKey,
        sourcePort: UInt16 = 40_000,
        _ tracking: Tracking = .new,
        isLocal: @escaping @Sendable (IPAddress) -> Bool = { _ in false }
    ) -> [Outcome] {
        let routing = Routing(
            addressType: { isLocal($0) ? .local : .unicast },
            way: { _ in .forward(interface: "eth0") },
            interfaceIndex: { _ in 1 }
        )
        let packet = Packet(
            from: client.address,
            sourcePort,
            to: key.address,
            key.port,
            key.transport,
            by: client.interface
        )
        let evaluator = Evaluator(node.kernel.withKernel(\.ruleset), routing: routing)
        return evaluator.possibilities(of: packet, tracking).map(\.outcome)
    }

    @Test(arguments: [LocalDetection.podCIDRs, .interface("cni0")])
    func `policy Local does not cut off a node whose addresses are in a VRF`(
        detection: LocalDetection
    ) throws {
        let node = try node(detection, policy: .local)
        let itself = outcomes(node, ProgrammedNode.itself, nodePort)
        let there = Outcome.delivered(
            ip("10.0.0.2"),
            port: 8080,
            isMasqueraded: false,
            hook: .output
        )
        #expect(itself == [there])
        #expect(outcomes(node, ProgrammedNode.outsider, nodePort) == [.dropped])
    }

    /// A node sees of mode l3 only what pods send, at the output hook.
    @Test func `what an IPVLAN pod answers leaves, though conntrack knows of no question`() throws {
        let node = try node(.podCIDRs, policy: .cluster)
        let client = FrontendKey(ip("10.0.0.9"), .tcp, 40_000)
        let answer = { (interface: String?, isLocal: Bool) in
            outcomes(
                node,
                (ip("10.0.0.2"), interface),
                client,
                sourcePort: 8080,
                .invalid,
                isLocal: { isLocal && $0 == ip("10.0.0.2") }
            )
        }
        let left = Outcome.delivered(
            client.address,
            port: client.port,
            isMasqueraded: false,
            hook: .output
        )
        #expect(answer(nil, false) == [left])
        // Endpoints on the node's own network, or behind an interface, may have been translated.
        #expect(answer(nil, true) == [.dropped] && answer("cni0", false) == [.dropped])
    }
}
