import BinarySupport
import NetworkNamespaces
import Testing

/// Connections from a pod to another one on the same bridge, which the kernel hands to the rules
/// with `br_netfilter`, and which in postrouting have no input interface.
@Suite(.timeLimit(.minutes(10))) struct BridgedPodTests {
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
}
