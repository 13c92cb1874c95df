import BinarySupport
import NetworkNamespaces
import Testing

/// Connections from a pod to another one on the same bridge, which the kernel hands to the rules
/// with `br_netfilter`, and which in postrouting have no input interface.
@Suite(.timeLimit(.minutes(30))) struct BridgedPodTests {
    private static let detections = [
        ["--detect-local-mode", "BridgeInterface", "--pod-bridge-interface", "cni0"],
        ["--detect-local-mode", "InterfaceNamePrefix", "--pod-interface-name-prefix", "cni"],
        ["--detect-local-mode", "ClusterCIDR"],
    ]

    @Test(arguments: detections) func `endpoints see the pod, and the node as itself`(
        detection: [String]
    ) throws {
        let node = try Node()
        try node.write([3])
        let daemon = try node.daemon("nftables", detection)
        defer { daemon.stop() }
        try daemon.wait(for: "synced")
        let listener = try Stream.listening(try node.pod(1), port: 8080)
        let callers: [(NetworkNamespace, String)] = [
            (try node.pod(0), "10.244.1.2"), (node.namespace, "10.244.1.1"),
            (node.client, "10.244.1.1"),
        ]
        for (caller, seen) in callers {
            let connection = try #require(try Stream.connecting(caller, "10.96.0.10", 80))
            #expect(listener.accepted().peer?.hasSuffix(seen) == true, "\(detection)")
            withExtendedLifetime(connection) {}
        }
    }

    @Test
    func `without br_netfilter a pod gets no answer from its neighbour, and a warning says so`()
        throws
    {
        let node = try Node()
        try node.write([3])
        try node.namespace.setSysctl("net/bridge/bridge-nf-call-iptables", "0")
        let daemon = try node.daemon("nftables")
        defer { daemon.stop() }
        try daemon.wait(
            for: "dropped: sysctl net.bridge.bridge-nf-call-iptables is 0: on cni0, a pod gets no"
        )
        let server = try EchoServer(try node.pod(1), port: 8080)
        let pod = try node.pod(0)
        #expect(try Stream.connecting(pod, "10.96.0.10", 80, limit: 2) == nil)
        // The node's own connections are answered, since they do not cross the bridge twice.
        #expect(try Stream.connecting(node.namespace, "10.96.0.10", 80)?.echoes == true)
        try node.namespace.setSysctl("net/bridge/bridge-nf-call-iptables", "1")
        #expect(try Stream.connecting(pod, "10.96.0.10", 80)?.echoes == true)
        withExtendedLifetime(server) {}
    }

    @Test func `with everything masqueraded the node sees every answer`() throws {
        let node = try Node()
        try node.write([3])
        try node.namespace.setSysctl("net/bridge/bridge-nf-call-iptables", "0")
        let daemon = try node.daemon("nftables", ["--masquerade-all"])
        defer { daemon.stop() }
        try daemon.wait(for: "synced")
        let server = try EchoServer(try node.pod(1), port: 8080)
        #expect(try Stream.connecting(try node.pod(0), "10.96.0.10", 80)?.echoes == true)
        #expect(!daemon.output.contains("bridge-nf-call"))
        withExtendedLifetime(server) {}
    }
}
