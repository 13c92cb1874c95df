import BinarySupport
import FoundationEssentials
import Glibc
import NetworkNamespaces
import Testing

/// Tests of `explain --verify`, as a user runs it.
@Suite(.timeLimit(.minutes(30))) struct VerifyTests {
    private let node: Node

    init() throws {
        node = try Node()
        try node.write(
            [2],
            ports: "{name: http, port: 80, nodePort: 30080}",
            spec: "type: NodePort"
        )
    }

    private func tables() throws -> String { try node.namespace.run(["nft", "list", "tables"]) }

    /// Starts an explanation that waits for a packet, and returns when it does.
    private func startVerifying(_ words: [String]) throws -> Daemon {
        let log = "\(node.folder.path)/.verification"
        let program = try Daemon(words, of: "explain", in: node.namespace, log: log)
        try program.wait { try tables().contains("needletail-verify") }
        return program
    }

    @Test func `the way of a packet is shown, and leaves nothing behind`() throws {
        #expect(try node.once("nftables").status == 0)
        let before = try node.namespace.run(["nft", "list", "ruleset"])
        let answer = try node.command(["explain", "shop/web", "--verify"])
        #expect(answer.status == 0, "\(answer.output)")
        for text in [
            "verify 10.96.0.10:80/tcp: a packet of 192.0.2.1:", "chain dnat-output",
            "verify 192.0.2.1:30080/tcp: a packet of 192.0.2.1:", " to 10.244.1.2:8080\n",
            "  delivered to 10.244.1.2:8080, which sees 10.244.1.1:",
            "  the kernel did what explain says, at every step\n",
        ] {
            #expect(answer.output.contains(text), "\(text) is not in \(answer.output)")
        }
        let json = try node.command(["explain", "10.96.0.10:80", "--verify", "-o", "json"])
        #expect(json.output.contains(#""what" : "delivered""#) && json.status == 0)
        #expect(json.output.contains(#""to" : "10.244.1.2:8080""#))
        #expect(try node.namespace.run(["nft", "list", "ruleset"]) == before)
        #expect(try !node.command(["explain", "shop/web"]).output.contains("verify"))
    }

    @Test func `what is refused or dropped is shown with the rule`() throws {
        #expect(try node.once("nftables").status == 0)
        let refused = try node.command(["explain", "10.96.0.10:81", "--verify"])
        #expect(refused.status == 0, "\(refused.output)")
        #expect(refused.output.contains("reject with tcp reset => drop\n  refused by step"))
        try node.namespace.run([
            "nft", "insert rule ip needletail filter-output tcp dport 8080 drop",
        ])
        let dropped = try node.command(["explain", "10.96.0.10:80", "--verify"])
        #expect(dropped.status == 1, "\(dropped.output)")
        #expect(dropped.output.contains("tcp dport 8080 drop => drop\n  dropped by step"))
        #expect(dropped.output.contains("the kernel did what explain says"))
    }

    @Test func `a pod's next connection is awaited`() throws {
        #expect(try node.once("nftables").status == 0)
        let words = ["explain", "10.96.0.10:80", "--verify", "--from", "10.244.1.3"]
        let unable = try node.command(words)
        #expect(unable.status == 3 && unable.output.contains("--wait 30s"), "\(unable.output)")
        let verifying = try startVerifying(words.dropFirst() + ["--wait", "60s"] + node.flags)
        let ignored = try node.command(["explain", "10.96.0.10:80"])
        #expect(ignored.status == 0 && ignored.output.contains("kernel: does this"))
        _ = try Stream.connecting(node.pod(1), "10.96.0.10", 80, limit: 1)
        let status = verifying.end()
        let text = verifying.output
        #expect(status == 0, "\(text)")
        #expect(text.contains("  1. prerouting, table ip needletail"))
        #expect(text.contains("delivered to 10.244.1.2:8080, which sees 10.244.1.3:"))
        let silent = try node.command(words + ["--wait", "1s"])
        #expect(silent.status == 3 && silent.output.contains("no packet of 10.244.1.3"))
        #expect(try node.command(["explain", "shop/web", "--verify", "--wait", "1s"]).status == 1)
        #expect(try node.command(["explain", "shop/web", "--wait", "1s"]).status == 64)
    }

    @Test func `nothing is left of a verification that was killed`() throws {
        #expect(try node.once("nftables").status == 0)
        let words = ["10.96.0.10:80", "--verify", "--from", "10.244.1.3", "--wait", "60s"]
        let verifying = try startVerifying(words + node.flags)
        // Nobody else can change the table, or take it away.
        let name = try #require(
            try tables().split(separator: "\n").first { $0.contains("needletail-verify") }
        )
        #expect(throws: CommandError.self) { try node.namespace.run(["nft", "delete \(name)"]) }
        verifying.stop(SIGKILL)
        #expect(try !tables().contains("verify"))
    }

    @Test func `a daemon does not take it for a change`() throws {
        let daemon = try node.daemon("nftables")
        try daemon.wait { try tables().contains("ip needletail") }
        for _ in 0..<5 {
            let answer = try node.command(["explain", "10.96.0.10:80", "--verify"])
            #expect(answer.status == 0, "\(answer.output)")
        }
        try node.namespace.run(["nft", "flush chain ip needletail pick"])
        try daemon.wait {
            try node.namespace.run(["nft", "list chain ip needletail pick"]).contains("dnat")
        }
        #expect(daemon.output.split(separator: "\n").filter { $0.contains("changed") }.count <= 1)
    }

    @Test func `without privileges the answer is that nobody can tell`() throws {
        #expect(try node.once("nftables").status == 0)
        let answer = try Binary.run(
            ["explain", "10.96.0.10:80", "--verify"] + node.flags,
            in: node.namespace,
            wrapper: ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
        )
        #expect(answer.status == 3, "\(answer.output)")
        #expect(answer.output.contains("verify 10.96.0.10:80/tcp: cannot tell: "))
    }
}
