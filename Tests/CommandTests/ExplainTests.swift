import BinarySupport
import NetworkNamespaces
import Testing

@testable import needletail

/// Tests of what `explain` says about existing connections.
@Suite(.timeLimit(.minutes(30))) struct ExplainTests {
    @Test func `a connection is found, with its endpoint and the address that this sees`() throws {
        let node = try Node()
        try node.write(
            [2],
            ports: "{name: http, port: 80, nodePort: 30080}",
            spec: "type: NodePort"
        )
        #expect(try node.once("nftables").status == 0)
        let server = try Stream.listening(node.pod(0), port: 8080)
        let inside = try Stream.connecting(node.pod(1), "10.96.0.10", 80, from: 40001)
        let outside = try Stream.connecting(node.client, Node.address, 30080, from: 40002)
        #expect(inside != nil && outside != nil)
        func explain(_ words: [String]) throws -> String {
            let answer = try node.command(["explain"] + words)
            #expect(answer.status == 0, "\(answer.output)")
            return answer.output
        }
        let pod = try explain(["10.96.0.10:80", "--from", "10.244.1.3:40001"])
        #expect(pod.contains("  10.244.1.3:40001 to 10.96.0.10:80/tcp: with 10.244.1.2:8080\n"))
        let client = ["shop/web", "--from", Node.clientAddress]
        let seen =
            "  192.0.2.9:40002 to 192.0.2.1:30080/tcp: with 10.244.1.2:8080, masqueraded as"
            + " 10.244.1.1:"
        #expect(try explain(client).contains(seen))
        #expect(try explain(client + ["-o", "json"]).contains(#""endpoint" : "10.244.1.2:8080""#))
        #expect(
            try explain(["shop/web", "--from", "192.0.2.9:40003"])
                .contains("connections of this client: none on this node")
        )
        // The endpoint leaves, but its connections may go on.
        try node.write(
            [3],
            ports: "{name: http, port: 80, nodePort: 30080}",
            spec: "type: NodePort"
        )
        #expect(try node.once("nftables").status == 0)
        #expect(
            try explain(["10.96.0.10:80", "--from", "10.244.1.3:40001"])
                .contains("with 10.244.1.2:8080, which gets no new ones\n")
        )
        #expect(try node.command(["explain", "shop/web", "--from", "x"]).status == 1)
        withExtendedLifetime((server, inside, outside)) {}
    }

    @Test(arguments: [
        ["BridgeInterface", "--pod-bridge-interface", "cni0"],
        ["InterfaceNamePrefix", "--pod-interface-name-prefix", "cn"],
    ])
    func `the interface that leads to a client tells whether it is a pod`(mode: [String]) throws {
        let node = try Node()
        try node.write([2])
        let flags = ["--detect-local-mode"] + mode
        #expect(try node.once("nftables", flags).status == 0)
        for (client, words) in [
            ("10.244.1.3", "from 10.244.1.3: a pod of the cluster"),
            (Node.clientAddress, "from 192.0.2.9: neither a pod nor this node"),
        ] {
            let answer = try node.command(["explain", "shop/web", "--from", client] + flags)
            #expect(answer.output.contains(words), "\(answer.output)")
        }
    }

    @Test(arguments: [
        "flush chain ip needletail pick", "flush chain ip needletail services",
        "flush chain ip needletail dnat-prerouting", "flush chain ip needletail masquerading",
        "delete element ip needletail cluster-ips { 10.96.0.10 }",
        "flush map ip needletail endpoints", "flush set ip needletail hairpin",
        "insert rule ip needletail filter-forward drop",
        "add element ip needletail no-endpoints { 10.96.0.10 . tcp . 80 }",
        "delete table ip needletail",
    ])
    func `what was done to the tables is told, and agreement never claimed`(command: String) throws
    {
        let node = try Node()
        try node.write([2])
        #expect(try node.once("nftables").status == 0)
        let before = try node.command(["explain", "10.96.0.10:80"])
        #expect(before.status == 0 && before.output.contains("kernel: does this"))
        try node.namespace.run(["nft", command])
        let after = try node.command(["explain", "10.96.0.10:80"])
        #expect(after.status == 1 && after.output.contains("kernel: differs"), "\(after.output)")
        #expect(!after.output.contains("does this"))
    }

    @Test func `another frontend's damage is not this one's`() throws {
        let node = try Node()
        try node.write([2], ports: "{name: http, port: 80}, {name: alt, port: 8080}")
        #expect(try node.once("nftables").status == 0)
        try node.namespace.run([
            "nft", "delete element ip needletail frontends { 10.96.0.10 . tcp . 8080 }",
        ])
        #expect(try node.command(["explain", "10.96.0.10:80"]).status == 0)
        #expect(try node.command(["explain", "10.96.0.10:8080"]).status == 1)
        #expect(try node.command(["explain", "shop/web"]).status == 1)
    }

    @Test func `what the node itself serves is masqueraded by nobody, which is right`() throws {
        let node = try Node()
        // An address of the node, as pods of its own network have it.
        try node.write(
            [1],
            ports: "{name: http, port: 80, nodePort: 30080}",
            spec: "type: NodePort"
        )
        #expect(try node.once("nftables").status == 0)
        let server = try Stream.listening(node.namespace, port: 8080)
        let client = try Stream.connecting(node.client, Node.address, 30080)
        #expect(client != nil && server.accepted().peer?.hasSuffix(Node.clientAddress) == true)
        for words in [["192.0.2.1:30080", "--from", Node.clientAddress], ["shop/web"]] {
            let answer = try node.command(["explain"] + words)
            #expect(answer.status == 0, "\(answer.output)")
        }
        withExtendedLifetime(client) {}
    }

    @Test func `of what no Service has nothing is claimed but the rules`() throws {
        let node = try Node()
        try node.write([2])
        #expect(try node.once("nftables").status == 0)
        let answer = try node.command(["explain", "192.0.2.77:80"])
        #expect(answer.status == 0 && !answer.output.contains("does this"))
        #expect(
            answer.output.contains("kernel: holds needletail's rules; none of them serves this")
        )
        try node.namespace.run(["nft", "flush chain ip needletail no-service"])
        #expect(try node.command(["explain", "192.0.2.77:80"]).status == 1)
    }

    @Test func `a picture shows each outcome as what it is`() throws {
        let node = try Node()
        try node.write([2, 3])
        #expect(try node.once("nftables").status == 0)
        func picture() throws -> String {
            try node.command(["explain", "10.96.0.10:80", "--from", "10.244.1.3", "-o", "svg"])
                .output
        }
        func count(_ look: ExplanationPicture.Look, in picture: String) -> Int {
            picture.split(separator: "\n").count { $0.contains("class=\"\(look.rawValue)\"") }
        }
        // Another program's parser reads it.
        func check(_ picture: String) throws {
            try Command.run(
                ["python3", "-c", "import sys, xml.dom.minidom as d; d.parse(sys.stdin)"],
                input: picture
            )
        }
        let good = try picture()
        try check(good)
        #expect(count(.wanted, in: good) == 2 && count(.dropped, in: good) == 0, "\(good)")
        try node.namespace.run([
            "nft", "add chain ip needletail foreign; insert rule ip needletail pick counter drop",
        ])
        let bad = try picture()
        try check(bad)
        #expect(count(.wanted, in: bad) == 0 && count(.dropped, in: bad) == 1, "\(bad)")
        #expect(bad.contains("chain pick, handle"))
    }
}
