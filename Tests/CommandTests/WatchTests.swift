import BinarySupport
import Glibc
import NetworkNamespaces
import Testing

/// Tests of `watch` with real connections.
@Suite(.timeLimit(.minutes(30))) struct WatchTests {
    private static let twoServices =
        "{name: http, port: 80, nodePort: 30080}, {name: alt, port: 81, targetPort: 8080}"

    private func node() throws -> Node {
        let node = try Node()
        try node.write(
            [2],
            ports: Self.twoServices,
            spec: "type: NodePort",
            targets: "{name: http, port: 8080}, {name: alt, port: 8080}"
        )
        #expect(try node.once("nftables").status == 0)
        try node.namespace.setSysctl("net/netfilter/nf_conntrack_acct", "0")
        return node
    }

    /// The lines with a word, each as its words.
    private func lines(_ watch: Daemon, with word: String) -> [[String]] {
        watch.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            .filter { $0.contains(word) }
    }

    @Test func `a connection is named from its beginning to its end`() throws {
        let node = try node()
        try node.namespace.setSysctl("net/netfilter/nf_conntrack_acct", "1")
        let watch = try node.start("watch", ["shop/web:http"])
        try watch.wait(for: "RECEIVED\n")
        let server = try Stream.listening(node.pod(0), port: 8080)
        // These are not asked for.
        let direct = try Stream.connecting(node.pod(1), "10.244.1.2", 8080, from: 40002)
        let other = try Stream.connecting(node.pod(1), "10.96.0.10", 81, from: 40003)
        #expect(direct != nil && other != nil)
        var client = try Stream.connecting(node.pod(1), "10.96.0.10", 80, from: 40001)
        #expect(client != nil)
        try watch.wait(for: "assured ")
        client?.reset()
        client = nil
        try watch.wait(for: "closed ")
        try node.namespace.run(["conntrack", "-D", "-p", "tcp", "--orig-port-src", "40001"])
        try watch.wait(for: "destroyed ")
        for change in ["new", "assured", "closed", "destroyed"] {
            let lines = lines(watch, with: change)
            #expect(
                lines.map { Array($0[1...6]) } == [
                    [
                        change, "10.244.1.3:40001", "10.96.0.10:80/tcp", "shop/web:http",
                        "10.244.1.2:8080", "here",
                    ]
                ],
                "\(watch.output)"
            )
        }
        // How long it lasted, and what the client sent: at least the handshake and the reset.
        let end = try #require(lines(watch, with: "destroyed").first)
        #expect(end[7].hasSuffix("s") && end[8].hasSuffix("p") && end[8] != "0p")
        #expect(watch.stop(SIGINT) == 0)
        withExtendedLifetime((server, direct, other)) {}
    }

    @Test func `without a target every Service's connections are told, and nobody else's`() throws {
        let node = try node()
        let watch = try node.start("watch", ["-o", "json", "--count", "3"])
        try watch.wait(for: "nf_conntrack_acct")
        let server = try Stream.listening(node.pod(0), port: 8080)
        _ = try Stream.connecting(node.pod(1), "10.244.1.2", 8080, from: 40004)
        // When the watch begins to listen cannot be seen in JSON, so there are several.
        var clients: [Stream?] = []
        try watch.wait {
            clients.append(try Stream.connecting(node.client, Node.address, 30080))
            return watch.output.contains("\"event\":\"assured\"")
        }
        clients.append(try Stream.connecting(node.client, Node.address, 30080))
        // It ends by itself.
        #expect(watch.stop(0) == 0)
        let events = watch.output.split(separator: "\n").filter { $0.hasPrefix("{") }
        #expect(events.count == 3)
        for event in events {
            #expect(event.contains(#""frontend":"192.0.2.1:30080/tcp""#), "\(event)")
            #expect(event.contains(#""service":"shop/web""#) && event.contains(#""port":"http""#))
            #expect(event.contains(#""kind":"NodePort""#))
            #expect(event.contains(#""endpoint":"10.244.1.2:8080""#))
            #expect(event.contains(#""masqueradedAs":"10.244.1.1:"#))
        }
        withExtendedLifetime((server, clients)) {}
    }

    @Test(arguments: [
        (["shop/web"], "events were lost"),
        (["shop/web", "-o", "json"], #""event":"lost""#),
        (["shop/web", "--top"], "events lost"),
    ])
    func `events that are not read in time are counted`(words: [String], loss: String) throws {
        let node = try node()
        let server = try EchoServer(node.pod(0), port: 8080)
        let watch = try node.start("watch", words + ["--buffer", "1", "--for", "100m"])
        // A first connection that is seen shows that it listens.
        let first = words.contains("--top") ? "" : "10.244.1.3:"
        try watch.wait(for: "nf_conntrack_acct")
        try watch.wait {
            _ = try Stream.connecting(node.pod(1), "10.96.0.10", 80)
            return first.isEmpty ? try listens(node) : watch.output.contains(first)
        }
        try watch.whilePaused {
            for _ in 0..<50 { _ = try Stream.connecting(node.pod(1), "10.96.0.10", 80) }
        }
        if words.contains("--top") {
            // The table comes at the end.
            try watch.wait { try drained(node) }
            watch.stop(SIGTERM)
            #expect(!watch.output.contains(" 0 events lost"), "\(watch.output)")
        }
        try watch.wait(for: loss)
        watch.stop(SIGTERM)
        withExtendedLifetime(server) {}
    }

    /// The lines of sockets that listen to the groups of conntrack.
    private func sockets(_ node: Node) throws -> [[Substring]] {
        try node.namespace.run(["cat", "/proc/net/netlink"]).split(separator: "\n")
            .map { $0.split(separator: " ") }.filter { $0[1] == "12" && $0[3] == "00000007" }
    }

    private func listens(_ node: Node) throws -> Bool { try !sockets(node).isEmpty }

    /// Whether nothing waits to be read.
    private func drained(_ node: Node) throws -> Bool {
        try sockets(node).allSatisfy { $0[4] == "0" }
    }

    @Test func `a Service that is added later gets its name`() throws {
        let node = try node()
        let watch = try node.start("watch", [])
        try watch.wait(for: "LASTED\n")
        try node.folder.write(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: late, namespace: shop}
            spec: {clusterIP: 10.96.0.11, ports: [{port: 80}]}
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: late-1, namespace: shop, labels: {kubernetes.io/service-name: late}}
            addressType: IPv4
            ports: [{port: 8080}]
            endpoints: [{addresses: [10.244.1.2], nodeName: there}]

            """,
            to: "late.yaml"
        )
        #expect(try node.once("nftables").status == 0)
        let server = try EchoServer(node.pod(0), port: 8080)
        try watch.wait {
            _ = try Stream.connecting(node.pod(1), "10.96.0.11", 80)
            return watch.output.contains("  shop/late ")
        }
        #expect(watch.stop(SIGTERM) == 0)
        withExtendedLifetime(server) {}
    }

    @Test func `what cannot be watched is said`() throws {
        let node = try node()
        for (words, status, text) in [
            (["shop/none"], 1, "this node serves no Service shop/none"),
            (["shop/web:x"], 1, "Service shop/web has no port x; it has alt, http"),
            (["shop"], 1, "\"shop\" is neither NAMESPACE/NAME"),
            (["shop/web", "--from", "x"], 1, "--from: \"x\" is neither"),
            (["shop/web", "--count", "0"], 64, "--count"),
            (["shop/web", "--for", "x"], 64, "--for"),
            (["shop/web", "--top", "-o", "json"], 64, "--top"),
        ] as [([String], Int32, String)] {
            let result = try node.command(["watch"] + words)
            #expect(result.status == status && result.output.contains(text), "\(result)")
        }
        try node.namespace.setSysctl("net/netfilter/nf_conntrack_events", "0")
        let result = try node.command(["watch", "shop/web"])
        #expect(result.status == 1 && result.output.contains("nf_conntrack_events is 0"))
    }
}
