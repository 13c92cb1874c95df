import BinarySupport
import NetworkNamespaces
import Testing

/// Tests of NodePorts on localhost in mode ipvs, where virtual servers do not handle them.
@Suite(.serialized, .timeLimit(.minutes(30))) struct LocalhostModeTests {
    @Test func `the forwarder serves them, whatever balances the rest`() throws {
        let node = try Node()
        node.nodePortAddresses = "primary,localhost"
        try node.write(
            [2],
            ports: "{name: http, port: 80, nodePort: 30080}",
            spec: "type: NodePort, externalTrafficPolicy: Local",
            elsewhere: [2]
        )
        let server = try EchoServer(node.pod(0), port: 8080)
        let daemon = try node.daemon("ipvs")
        try daemon.wait {
            try Stream.connecting(node.namespace, "127.0.0.1", 30080)?.echoes == true
        }
        #expect(try !node.ipvsadm().contains { $0.contains("127.0.0.1") })
        #expect(try Stream.connecting(node.client, Node.address, 30080, limit: 2) == nil)
        withExtendedLifetime(server) {}
    }
}
