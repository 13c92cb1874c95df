import BinarySupport
import NetworkNamespaces
import TestSupport
import Testing

/// What is said about networks whose packets do not take the ways that a Service proxy needs, and
/// that it is true.
@Suite(.timeLimit(.minutes(30))) struct RoutingObstacleTests {
    /// The second interface's clients are answered by the first one.
    @Test func `a strict reverse path filter that drops clients is told, and only then`() throws {
        let node = try Node()
        let address = "198.51.100.1"
        try node.namespace.ip([
            "link add eth1 type veth peer name x1", "addr add \(address)/24 dev eth1",
            "link set eth1 up", "link set x1 netns \(node.clientName) name eth1",
        ])
        try node.client.ip([
            "addr add 203.0.113.5/32 dev lo", "link set eth1 up",
            "route add \(address) dev eth1 src 203.0.113.5",
        ])
        for (namespace, interface) in [
            (node.namespace, "all"), (node.namespace, "eth1"), (node.client, "all"),
            (node.client, "eth0"),
        ] {
            try namespace.setSysctl("net/ipv4/conf/\(interface)/rp_filter", "0")
        }
        try node.namespace.setSysctl("net/ipv4/conf/eth1/rp_filter", "1")
        node.nodePortAddresses = "0.0.0.0/0"
        try node.write(
            [3],
            ports: "{name: http, port: 80, nodePort: 30080}",
            spec: "type: NodePort"
        )
        try node.folder.write(
            """
            apiVersion: v1
            kind: Node
            metadata: {name: here}
            status: {addresses: [{type: InternalIP, address: \(Node.address)}, {type: ExternalIP, address: \(address)}]}

            """,
            to: "node.yaml"
        )
        let daemon = try node.daemon("nftables")
        defer { daemon.stop() }
        try daemon.wait(
            for: "sysctl net.ipv4.conf.eth1.rp_filter (or that of all) is 1: clients from other"
                + " networks are dropped at \(address), since the way back to them leaves by eth0"
        )
        let server = try EchoServer(try node.pod(1), port: 8080)
        #expect(try Stream.connecting(node.client, address, 30080, limit: 2) == nil)
        try node.namespace.setSysctl("net/ipv4/conf/eth1/rp_filter", "2")
        try daemon.wait(for: "sysctl net.ipv4.conf.eth1.rp_filter does not stand in the way")
        try daemon.wait {
            try Stream.connecting(node.client, address, 30080, limit: 5)?.echoes == true
        }
        withExtendedLifetime(server) {}
    }

    @Test func `pods on the node's own network are told, unless answers come back by the node`()
        throws
    {
        let node = try Node()
        // A neighbour of the node that is listed as a pod of it: the client's namespace.
        try node.folder.write(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: web, namespace: shop}
            spec: {clusterIP: 10.96.0.10, ports: [{name: http, port: 80}]}
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata:
              {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
            addressType: IPv4
            ports: [{name: http, port: 8080}]
            endpoints:
            - {addresses: [\(Node.clientAddress)], nodeName: here}
            - {addresses: [10.244.1.2], nodeName: here}

            """,
            to: "web.yaml"
        )
        let daemon = try node.daemon("nftables")
        defer { daemon.stop() }
        try daemon.wait(
            for:
                "the network of interface eth0 has pods of this node (\(Node.clientAddress)), which"
                + " send and answer past it"
        )
        daemon.stop()
        // All obstacles are found by one look.
        try node.namespace.setSysctl("net/ipv4/ip_forward", "0")
        let masquerading = try node.daemon("nftables", ["--masquerade-all"])
        defer { masquerading.stop() }
        try masquerading.wait(for: "sysctl net.ipv4.ip_forward is 0")
        // The first process wrote to the same log.
        #expect(masquerading.output.split(separator: "answer past it").count == 2)
    }
}
