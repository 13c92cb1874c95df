import BinarySupport
import Glibc
import NetworkNamespaces
import TamperingSupport
import Testing

/// Tests that `explain` is true of the kernel: real connections do what it says.
@Suite(.timeLimit(.minutes(30))) struct ExplainTamperingTests {
    @Test(arguments: Tampering.all)
    func `what happens to a connection is among what explain says`(
        tampering: Tampering
    ) async throws {
        let network = try TamperedNode()
        try network.suffer(tampering)
        let client = tampering.client
        let answer = try network.explain(client)
        #expect(answer.status == tampering.answer.status, "\(answer.text)")
        let fate = try await network.connect(client)
        #expect(
            answer.outcomes.contains { fate.matches($0) },
            "\(fate) is not among \(answer.text)"
        )
        guard fate != TamperedNode.wanted(client) else { return }
        #expect(answer.status != 0, "\(fate), but \(answer.text)")
        let unasked = try network.node.command(["explain", TamperedNode.target(client)])
        #expect(unasked.status != 0, "\(fate), but \(unasked.output)")
    }

    @Test func `of two chains at the same place nobody can tell the first`() throws {
        let node = try Node()
        try node.namespace.run(["nft", "add table ip foreign"])
        let network = try TamperedNode(node)
        try network.suffer(
            Tampering(
                script: "add chain ip foreign x { type nat hook prerouting priority -101; }"
                    + "; add rule ip foreign x tcp dport 80 dnat to 10.244.1.3:9090",
                answer: .cannotTell
            )
        )
        let answer = try network.explain(.outside)
        #expect(answer.status == 0, "\(answer.text)")
        let pod = try network.explain(.pod)
        #expect(pod.status == 3, "\(pod.text)")
        #expect(pod.text.contains("the kernel does not tell which comes first"))
        #expect(Set(pod.outcomes.map(\.to)) == ["10.244.1.2:8080", "10.244.1.3:9090"])
    }

    @Test(arguments: [
        ("", 0), ("nft flush chain ip6 needletail pick", 1),
        ("nft flush chain ip6 needletail masquerading", 1),
        ("nft add table ip6 needletail { flags dormant; }", 1),
        ("nft delete element ip6 needletail frontends { fd00:192::1 . tcp . 30080 }", 1),
        ("nft flush map ip6 needletail endpoints", 1),
        ("ip6tables-nft -A FORWARD -p tcp -j DROP", 1),
        ("ip6tables-nft -A FORWARD -p tcp -m multiport --dports 8080 -j DROP", 3),
        ("iptables-nft -A FORWARD -p tcp -j DROP", 0), ("ip -6 route add blackhole fd00:1::2", 1),
    ])
    func `IPv6 connections are followed, too`(command: String, status: Int32) throws {
        let node = try Node()
        try node.folder.write(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: web, namespace: shop}
            spec: {clusterIP: "fd00:96::a", type: NodePort, ports: [{name: http, port: 80, nodePort: 30080}]}
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
            addressType: IPv6
            ports: [{name: http, port: 8080}]
            endpoints: [{addresses: ["fd00:1::2"], nodeName: here}]

            """,
            to: "web.yaml"
        )
        try node.namespace.ip(["route add default via fd00:192::9"])
        #expect(try node.once("nftables").status == 0)
        let server = try Stream.listening(node.pod(0), port: 8080)
        if !command.isEmpty {
            try node.namespace.run(command.split(separator: " ").map(String.init))
        }
        let answer = try node.command(["explain", "[\(Node.address6)]:30080"])
        #expect(answer.status == status, "\(answer.output)")
        let connection = try Stream.connecting(node.client, Node.address6, 30080, limit: 2)
        let isMasqueraded =
            connection != nil && server.accepted().peer?.hasPrefix("fd00:1:") == true
        #expect(isMasqueraded == (status == 0), "\(answer.output)")
        let isClaimed = answer.output.contains("kernel: [fd00:1::2]:8080, masqueraded, 1\n")
        #expect(status != 0 || isClaimed, "\(answer.output)")
    }

    @Test func `clients that nobody has named are not shown`() throws {
        let network = try TamperedNode()
        let node = network.node
        try node.namespace.run(["iptables-nft", "-A", "FORWARD", "-m", "recent", "--rcheck"])
        try node.namespace.run(["nft", "flush", "chain", "ip", "needletail", "masquerading"])
        for words in [["shop/web"], ["shop/web", "-o", "json"]] {
            let text = try node.command(["explain"] + words).output
            for invented in ["10.244.1.3", "203.0.113.", "50000"] {
                #expect(!text.contains(invented), "\(text)")
            }
        }
    }

    @Test func `there are many kinds of tampering`() {
        #expect(Tampering.all.count > 150)
    }
}
