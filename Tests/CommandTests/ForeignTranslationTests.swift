import BinarySupport
import NetworkNamespaces
import Testing

/// Tests with connections that other programs of the node translate: host ports of network plugins,
/// container runtimes, administrators.
@Suite(.timeLimit(.minutes(30))) struct ForeignTranslationTests {
    private static let nodePort = "{name: http, port: 80, nodePort: 30080}"

    /// Adds a host port as the portmap plugin does for a pod.
    private func addHostPort(_ node: Node) throws {
        try node.namespace.run(
            ["nft", "-f", "-"],
            input: """
                table ip foreign {
                    chain host-ports {
                        type nat hook prerouting priority -100;
                        ip daddr \(Node.address) tcp dport 30080 dnat to 10.244.1.3:8080
                    }
                }

                """
        )
    }

    @Test(arguments: [true, false])
    func `a frontend with endpoints is ours, whoever registered first`(isForeignFirst: Bool) throws
    {
        let node = try Node()
        try node.write([2], ports: Self.nodePort, spec: "type: NodePort")
        let server = try EchoServer(node.pod(0), port: 8080)
        if isForeignFirst { try addHostPort(node) }
        #expect(try node.once("nftables").status == 0)
        if !isForeignFirst { try addHostPort(node) }
        // No program listens at the other pod.
        #expect(try Stream.connecting(node.client, Node.address, 30080)?.echoes == true)
        withExtendedLifetime(server) {}
    }

    @Test func `what others translate is neither refused nor masqueraded`() throws {
        let node = try Node()
        try node.write([], ports: Self.nodePort, spec: "type: NodePort")
        let server = try EchoServer(node.pod(1), port: 8080)
        #expect(try node.once("nftables").status == 0)
        #expect(try Stream.connecting(node.client, Node.address, 30080) == nil)
        try addHostPort(node)
        let stream = try #require(try Stream.connecting(node.client, Node.address, 30080))
        #expect(stream.echoes)
        let tracked = try node.namespace.run(["conntrack", "-L", "-d", Node.address])
        #expect(tracked.contains("src=10.244.1.3 dst=\(Node.clientAddress) "), "\(tracked)")
        withExtendedLifetime(server) {}
    }

    /// A tenant may claim any external IP.
    @Test(arguments: ["", "{addresses: [10.244.1.3]}"])
    func `a translated connection may go to an address that is a frontend`(endpoints: String) throws
    {
        let node = try Node()
        try node.write([2])
        try node.folder.write(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: other, namespace: tenant}
            spec: {clusterIP: 10.96.0.11, externalIPs: [10.244.1.2], ports: [{port: 8080}]}
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: other-1, namespace: tenant, labels: {kubernetes.io/service-name: other}}
            addressType: IPv4
            ports: [{name: "", port: 8080}]
            endpoints: [\(endpoints)]

            """,
            to: "other.yaml"
        )
        let server = try EchoServer(node.pod(0), port: 8080)
        #expect(try node.once("nftables").status == 0)
        #expect(try Stream.connecting(node.client, "10.96.0.10", 80)?.echoes == true)
        withExtendedLifetime(server) {}
    }
}
