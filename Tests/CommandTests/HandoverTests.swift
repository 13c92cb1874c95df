import BinarySupport
import Glibc
import NetworkNamespaces
import Testing

/// 10,000 connections are opened and 1,000 stay open while one program follows the other on a node:
/// none fails, none breaks.
@Suite(.serialized, .timeLimit(.minutes(10))) struct HandoverTests {
    /// What kube-proxy leaves for the Service shop/web, in its modes nftables and iptables.
    private static let leftovers = [
        """
        table ip kube-proxy {
            chain services {
                type nat hook prerouting priority -100;
                ip daddr 10.96.0.10 tcp dport 80 dnat to 10.244.1.2:8080
            }
        }

        """,
        """
        table ip nat {
            chain KUBE-SEP-A { meta l4proto tcp dnat to 10.244.1.2:8080; }
            chain KUBE-SVC-A { jump KUBE-SEP-A; }
            chain KUBE-SERVICES { ip daddr 10.96.0.10 tcp dport 80 jump KUBE-SVC-A; }
            chain PREROUTING { type nat hook prerouting priority -100; jump KUBE-SERVICES; }
        }

        """,
    ]

    @Test(arguments: leftovers.indices)
    func `taking over, kill -9, restart and upgrade`(mode: Int) throws {
        let node = try Node()
        try node.write([2, 3])
        let servers = try [0, 1].map { try EchoServer(node.pod($0), port: 8080) }
        try node.namespace.run(["nft", "-f", "-"], input: Self.leftovers[mode])
        let traffic = try Traffic(from: node.client, to: "10.96.0.10", 80, lasting: 1000)
        defer { traffic.end() }
        try traffic.wait(forMore: 500)
        var daemon = try node.daemon("nftables")
        try daemon.wait(for: "removed what kube-proxy had left")
        try traffic.wait(forMore: 2000)
        for (round, signal) in [SIGKILL, SIGTERM, SIGKILL].enumerated() {
            daemon.stop(signal)
            try traffic.wait(forMore: 1000)
            daemon = try node.daemon("nftables")
            try daemon.wait(for: "scope=everything", count: round + 2)
            try traffic.wait(forMore: 1500)
        }
        // Endpoints that go take no new connections, and keep the old ones.
        try node.write([3])
        try traffic.wait(forMore: max(500, 10_000 - traffic.opened))
        traffic.end()
        #expect(traffic.opened >= 10_000 && traffic.failures.isEmpty, "\(traffic.failures)")
        #expect(traffic.broken == 0, "\(traffic.broken) broken")
        let rest = try node.namespace.run(["nft", "list", "ruleset"])
        #expect(!rest.contains("kube-proxy") && !rest.contains("KUBE-"))
        withExtendedLifetime(servers) {}
    }
}
