package import BinarySupport
import FoundationEssentials
import Glibc
import NetworkNamespaces
import Threads

/// What a client sees of its connection.
package enum Fate: Equatable, Sendable {
    case connected(String, isMasqueraded: Bool)
    case refused, unanswered

    package func matches(_ outcome: Explained.Outcome) -> Bool {
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
package struct Explained: Decodable {
    package struct Outcome: Decodable {
        package let what: String
        package let to: String?
        package let isMasqueraded: Bool?
    }

    struct KernelFlow: Decodable { let outcomes: [Outcome] }

    struct Flow: Decodable { let kernel: KernelFlow? }

    struct Frontend: Decodable { let flows: [String: Flow] }

    let frontends: [Frontend]
}

/// A node with the Service, two pods that listen, and a client.
package struct TamperedNode {
    package let node: Node
    private let mode: String
    private let servers: [(name: String, stream: Stream)]

    package init(_ node: Node? = nil, mode: String = "nftables") throws {
        self.node = try node ?? Node()
        self.mode = mode
        let node = self.node
        try node.write(
            [2],
            ports: "{name: http, port: 80, nodePort: 30080}",
            spec: "type: NodePort"
        )
        let start = try node.once(mode)
        guard start.status == 0 else { throw CommandError(start.output) }
        servers = [
            ("10.244.1.2:8080", try Stream.listening(node.pod(0), port: 8080)),
            ("10.244.1.3:9090", try Stream.listening(node.pod(1), port: 9090)),
        ]
    }

    package func suffer(_ tampering: Tampering) throws {
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

    package static func target(_ client: Tampering.Client) -> String {
        client == .outside ? "192.0.2.1:30080" : "10.96.0.10:80"
    }

    package static func wanted(_ client: Tampering.Client) -> Fate {
        .connected("10.244.1.2:8080", isMasqueraded: client != .pod)
    }

    private func address(_ client: Tampering.Client) -> String {
        switch client {
        case .pod: "10.244.1.3"
        case .node: Node.address
        case .outside: Node.clientAddress
        }
    }

    package func explain(
        _ client: Tampering.Client
    ) throws -> (status: Int32, outcomes: [Explained.Outcome], text: String) {
        let words = [
            "explain", Self.target(client), "--from", address(client), "-o", "json", "--mode", mode,
        ]
        let answer = try node.command(words)
        let explained = try JSONDecoder().decode(Explained.self, from: Data(answer.output.utf8))
        let flow = explained.frontends.first?.flows[client.rawValue]
        return (answer.status, flow?.kernel?.outcomes ?? [], answer.output)
    }

    /// Sends a connection, and looks who gets it.
    ///
    /// A thread of its own waits, so that other tests go on.
    package func connect(_ client: Tampering.Client) async throws -> Fate {
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
        guard let peer = servers[index].stream.accepted().peer else { return .unanswered }
        return .connected(servers[index].name, isMasqueraded: !peer.hasSuffix(address))
    }
}
