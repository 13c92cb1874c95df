import BinarySupport
import NetworkNamespaces
import Testing

/// Tests of NodePorts on 127.0.0.1 and ::1, as a process of the node sees them.
@Suite(.timeLimit(.minutes(30))) struct LocalhostTests {
    private let node: Node

    init() throws {
        node = try Node()
        try write([2])
    }

    private func write(_ endpoints: [Int], elsewhere: [Int] = [], spec: String = "type: NodePort")
        throws
    {
        try node.write(
            endpoints,
            ports: "{name: http, port: 80, nodePort: 30080},"
                + " {name: dns, port: 53, protocol: UDP, nodePort: 30053}",
            spec: spec,
            targets: "{name: http, port: 8080}, {name: dns, port: 5353, protocol: UDP}",
            elsewhere: elsewhere
        )
    }

    private func metrics() throws -> String {
        try HTTPProbe.get("/metrics", port: 10249, in: node.namespace)?.body ?? ""
    }

    /// Waits until the pod is reached through 127.0.0.1.
    private func reaches(_ daemon: Daemon) throws {
        try daemon.wait {
            try Stream.connecting(node.namespace, "127.0.0.1", 30080)?.echoes == true
        }
    }

    @Test func `they answer where the configuration says localhost, for TCP and UDP`() throws {
        node.nodePortAddresses = "primary,localhost"
        let pod = try node.pod(0)
        let server = try EchoServer(pod, port: 8080)
        let daemon = try node.daemon("nftables")
        try reaches(daemon)
        let dns = try UDPSocket(pod, "10.244.1.2", port: 5353)
        let client = try UDPSocket(node.namespace, "127.0.0.1", port: 40_000)
        #expect(client.reaches(dns, by: "127.0.0.1", 30053))
        #expect(
            try node.namespace.run(["cat", "/proc/sys/net/ipv4/conf/all/route_localnet"]) == "0\n"
        )
        #expect(try Stream.connecting(node.client, Node.address, 30080)?.echoes == true)
        let text = try metrics()
        #expect(
            text.contains("kubeproxy_nftables_localhost_nodeport_listeners{ip_family=\"IPv4\"} 2\n")
        )
        #expect(
            text.contains("needletail_localhost_nodeport_connections_total{protocol=\"udp\"} 1\n")
        )
        let explained = try node.command(["explain", "127.0.0.1:30080"])
        #expect(explained.status == 0)
        #expect(
            explained.output.contains("127.0.0.1:30080/tcp  NodePort of shop/web:http on localhost")
        )
        #expect(
            explained.output.contains("the daemon's forwarder listens there, no rule of the kernel")
        )
        #expect(explained.output.contains("    10.244.1.2:8080\n"))
        // The pod is replaced; existing connections stay, and new ones go to the new pod.
        let old = try #require(try Stream.connecting(node.namespace, "127.0.0.1", 30080))
        let second = try EchoServer(node.pod(1), port: 8080)
        try write([3])
        try daemon.wait {
            try node.command(["explain", "127.0.0.1:30080"]).output.contains("1.3:8080")
        }
        try reaches(daemon)
        #expect(old.echoes)
        // A Service without an endpoint leaves nothing behind.
        try write([])
        try daemon.wait { try Stream.connecting(node.namespace, "127.0.0.1", 30080) == nil }
        withExtendedLifetime((server, second)) {}
    }

    @Test func `external policy Local does not bind the node itself`() throws {
        node.nodePortAddresses = "localhost"
        try write([2], elsewhere: [2], spec: "type: NodePort, externalTrafficPolicy: Local")
        let server = try EchoServer(node.pod(0), port: 8080)
        let daemon = try node.daemon("nftables")
        try reaches(daemon)
        #expect(!daemon.output.contains("no address of node"))
        #expect(try Stream.connecting(node.client, Node.address, 30080) == nil)
        withExtendedLifetime(server) {}
    }

    @Test(arguments: [
        ("nftables", "primary", false), ("nftables", "all", false), ("iptables", "all", true),
    ])
    func `only mode iptables has them unasked`(mode: String, words: String, isServed: Bool) throws {
        node.nodePortAddresses = words
        let server = try EchoServer(node.pod(0), port: 8080)
        let daemon = try node.daemon(mode)
        try daemon.wait(for: "synced")
        if isServed {
            try reaches(daemon)
        } else {
            #expect(try Stream.connecting(node.namespace, "127.0.0.1", 30080) == nil)
            #expect(
                try node.command(["explain", "127.0.0.1:30080", "--mode", mode]).output
                    .contains("only with the word localhost among nodePortAddresses")
            )
        }
        #expect(try Stream.connecting(node.client, Node.address, 30080)?.echoes == true)
        withExtendedLifetime(server) {}
    }

    @Test func `they come and go with the configuration file`() throws {
        let folder = try Folder()
        func write(_ addresses: String) throws -> String {
            try folder.write(
                """
                apiVersion: kubeproxy.config.k8s.io/v1alpha1
                kind: KubeProxyConfiguration
                mode: nftables
                nodePortAddresses: \(addresses)

                """,
                to: "config.conf"
            )
        }
        let server = try EchoServer(node.pod(0), port: 8080)
        let daemon = try node.daemon("nftables", ["--config", try write("[primary]")])
        try daemon.wait(for: "synced")
        #expect(try Stream.connecting(node.namespace, "127.0.0.1", 30080) == nil)
        _ = try write("[primary, localhost]")
        try reaches(daemon)
        _ = try write("[primary]")
        try daemon.wait { try Stream.connecting(node.namespace, "127.0.0.1", 30080) == nil }
        withExtendedLifetime(server) {}
    }
}
