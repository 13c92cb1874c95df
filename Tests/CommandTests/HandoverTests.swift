import BinarySupport
import Glibc
import NetworkNamespaces
import Testing

/// Tests of a node on which one program takes over from another under load.
///
/// 10,000 connections are opened and 1,000 stay open meanwhile; none may fail or break.
@Suite(.serialized, .timeLimit(.minutes(30))) struct HandoverTests {
    /// The leftovers of kube-proxy for the Service shop/web in modes nftables and iptables.
    ///
    /// Each comes with the program that loads it: iptables may be the nf_tables version or the
    /// legacy one.
    private static let leftovers = [
        (
            ["nft", "-f", "-"],
            """
            table ip kube-proxy {
                chain services {
                    type nat hook prerouting priority -100;
                    ip daddr 10.96.0.10 tcp dport 80 dnat to 10.244.1.2:8080
                }
            }

            """
        ),
        (["iptables-nft-restore"], chains), (["iptables-legacy-restore"], chains),
    ]

    private static let chains = """
        *nat
        :KUBE-SERVICES - [0:0]
        :KUBE-SVC-A - [0:0]
        :KUBE-SEP-A - [0:0]
        -A PREROUTING -j KUBE-SERVICES
        -A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-A
        -A KUBE-SVC-A -j KUBE-SEP-A
        -A KUBE-SEP-A -p tcp -j DNAT --to-destination 10.244.1.2:8080
        COMMIT

        """

    @Test(arguments: leftovers.indices)
    func `taking over, kill -9, restart and upgrade`(mode: Int) throws {
        let node = try Node()
        try node.write([2, 3])
        let servers = try [0, 1].map { try EchoServer(node.pod($0), port: 8080) }
        let (program, text) = Self.leftovers[mode]
        try node.namespace.run(program, input: text)
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
        // Endpoints that leave get no new connections, and keep their old ones.
        try node.write([3])
        try traffic.wait(forMore: max(500, 10_000 - traffic.opened))
        traffic.end()
        #expect(traffic.opened >= 10_000 && traffic.failures.isEmpty, "\(traffic.failures)")
        #expect(traffic.broken == 0, "\(traffic.broken) broken")
        let rest = try ["nft list ruleset", "iptables-legacy-save"]
            .map { try node.namespace.run($0.split(separator: " ").map(String.init)) }.joined()
        #expect(!rest.contains("kube-proxy") && !rest.contains("KUBE-"))
        withExtendedLifetime(servers) {}
    }
}
