import BinarySupport
import FoundationEssentials
import Glibc
import NetworkNamespaces
import Testing
import Threads

/// Tests that `explain` is true of the kernel: real connections do what it says.
@Suite(.timeLimit(.minutes(30))) struct ExplainTamperingTests {
    @Test(arguments: Tampering.all)
    func `what happens to a connection is among what explain says`(
        tampering: Tampering
    ) async throws {
        let network = try Network()
        try network.suffer(tampering)
        let client = tampering.client
        let answer = try network.explain(client)
        #expect(answer.status == tampering.answer.status, "\(answer.text)")
        let fate = try await network.connect(client)
        #expect(
            answer.outcomes.contains { fate.matches($0) },
            "\(fate) is not among \(answer.text)"
        )
        guard fate != Network.wanted(client) else { return }
        #expect(answer.status != 0, "\(fate), but \(answer.text)")
        let unasked = try network.node.command(["explain", Network.target(client)])
        #expect(unasked.status != 0, "\(fate), but \(unasked.output)")
    }

    @Test func `of two chains at the same place nobody can tell the first`() throws {
        let node = try Node()
        try node.namespace.run(["nft", "add table ip foreign"])
        let network = try Network(node)
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
        let network = try Network()
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

/// What a client sees of its connection.
private enum Fate: Equatable, Sendable {
    case connected(String, isMasqueraded: Bool)
    case refused, unanswered

    func matches(_ outcome: Explained.Outcome) -> Bool {
        if outcome.what == "undecided" { return true }
        switch self {
        case .connected(let endpoint, let isMasqueraded):
            // A connection may end when it has just begun.
            return outcome.to == endpoint && outcome.isMasqueraded ?? isMasqueraded == isMasqueraded
        // Nobody listens at the addresses of Services themselves.
        case .refused: return outcome.what == "rejected" || outcome.what == "delivered"
        case .unanswered:
            return ["dropped", "unroutable", "delivered", "lost"].contains(outcome.what)
        }
    }
}

/// The part of the JSON that matters here.
private struct Explained: Decodable {
    struct Outcome: Decodable {
        let what: String
        let to: String?
        let isMasqueraded: Bool?
    }

    struct KernelFlow: Decodable { let outcomes: [Outcome] }

    struct Flow: Decodable { let kernel: KernelFlow? }

    struct Frontend: Decodable { let flows: [String: Flow] }

    let frontends: [Frontend]
}

/// A node with the Service, two pods that listen, and a client.
private struct Network {
    let node: Node
    private let servers: [(name: String, stream: Stream)]

    init(_ node: Node? = nil) throws {
        self.node = try node ?? Node()
        let node = self.node
        try node.write(
            [2],
            ports: "{name: http, port: 80, nodePort: 30080}",
            spec: "type: NodePort"
        )
        #expect(try node.once("nftables").status == 0)
        servers = [
            ("10.244.1.2:8080", try Stream.listening(node.pod(0), port: 8080)),
            ("10.244.1.3:9090", try Stream.listening(node.pod(1), port: 9090)),
        ]
    }

    func suffer(_ tampering: Tampering) throws {
        if !tampering.script.isEmpty {
            let script = tampering.script.replacing("; add", with: "\nadd")
            try node.namespace.run(["nft", "-f", "-"], input: script + "\n")
        }
        if !tampering.command.isEmpty { try node.namespace.run(tampering.command) }
        guard let (chain, index) = tampering.deleted else { return }
        let listing = try node.namespace.run([
            "nft", "-a", "list", "chain", "ip", "needletail", chain,
        ])
        let handles = listing.split(separator: "\n").filter { !$0.contains("chain ") }
            .compactMap { $0.split(separator: "# handle ").dropFirst().first }
        try node.namespace.run([
            "nft", "delete", "rule", "ip", "needletail", chain, "handle", String(handles[index]),
        ])
    }

    static func target(_ client: Tampering.Client) -> String {
        client == .outside ? "192.0.2.1:30080" : "10.96.0.10:80"
    }

    static func wanted(_ client: Tampering.Client) -> Fate {
        .connected("10.244.1.2:8080", isMasqueraded: client != .pod)
    }

    private func address(_ client: Tampering.Client) -> String {
        switch client {
        case .pod: "10.244.1.3"
        case .node: Node.address
        case .outside: Node.clientAddress
        }
    }

    func explain(
        _ client: Tampering.Client
    ) throws -> (status: Int32, outcomes: [Explained.Outcome], text: String) {
        let words = ["explain", Self.target(client), "--from", address(client), "-o", "json"]
        let answer = try node.command(words)
        let explained = try JSONDecoder().decode(Explained.self, from: Data(answer.output.utf8))
        let flow = explained.frontends.first?.flows[client.rawValue]
        return (answer.status, flow?.kernel?.outcomes ?? [], answer.output)
    }

    /// Sends a connection, and looks who gets it.
    ///
    /// A thread of its own waits, so that other tests go on.
    func connect(_ client: Tampering.Client) async throws -> Fate {
        let namespace =
            switch client {
            case .pod: try node.pod(1)
            case .node: node.namespace
            case .outside: node.client
            }
        let address = address(client)
        let servers = servers
        return try await withCheckedThrowingContinuation { continuation in
            startThread {
                continuation.resume(
                    with: Result {
                        try Self.connect(from: namespace, address, Self.target(client), servers)
                    }
                )
            }
        }
    }

    private static func connect(
        from namespace: NetworkNamespace,
        _ address: String,
        _ target: String,
        _ servers: [(name: String, stream: Stream)]
    ) throws -> Fate {
        let parts = target.split(separator: ":").map(String.init)
        let port = UInt16(parts[1]) ?? 0
        guard let stream = try Stream.connecting(namespace, parts[0], port, limit: 2) else {
            return errno == ECONNREFUSED ? .refused : .unanswered
        }
        defer { withExtendedLifetime(stream) {} }
        var entries = servers.map { pollfd(fd: $0.stream.descriptor, events: 1, revents: 0) }
        poll(&entries, nfds_t(entries.count), 10_000)
        // The client's kernel may take a connection for open whose last packet has not arrived.
        guard let index = entries.firstIndex(where: { $0.revents != 0 }) else {
            return .unanswered
        }
        let peer = try #require(servers[index].stream.accepted().peer)
        return .connected(servers[index].name, isMasqueraded: !peer.hasSuffix(address))
    }
}
