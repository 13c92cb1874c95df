import BinarySupport
import Glibc
import NetworkNamespaces
import Testing

/// Tests of the change from mode ipvs to mode nftables with open IPVS connections.
@Suite(.serialized, .timeLimit(.minutes(30))) struct ModeChangeTests {
    private static let address = "10.96.0.10"
    private static let external = "203.0.113.7"

    /// Returns the client ports of the connections that IPVS has or remembers.
    private func ports(_ node: Node) throws -> Set<UInt16> {
        let lines = try node.namespace.run(["cat", "/proc/net/ip_vs_conn"]).split(separator: "\n")
        return Set(lines.compactMap { UInt16($0.split(separator: " ")[2], radix: 16) })
    }

    private func connect(
        _ node: Node,
        _ ports: Range<UInt16>,
        to address: String = Self.address
    ) throws -> [Stream] {
        try ports.map {
            let stream = try Stream.connecting(node.client, address, 80, from: $0)
            let code = errno
            return try #require(stream, "port \($0): errno \(code)")
        }
    }

    /// Ends connections with a reset: IPVS remembers them for ten seconds.
    private func end(_ streams: inout [Stream]) {
        for stream in streams { stream.reset() }
        streams = []
    }

    // When IPVS drops a connection, conntrack must drop one with the same addresses and ports, even
    // if it belongs to another owner by then (net/netfilter/ipvs/ip_vs_nfct.c:
    // ip_vs_conn_drop_conntrack).
    @Test func `a client may use its port again while IPVS remembers it`() throws {
        let node = try Node()
        try node.write([2, 3])
        let servers = try [0, 1].map { try EchoServer(node.pod($0), port: 8080) }
        var daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced")
        var streams = try connect(node, 20_000..<20_020)
        #expect(streams.count { $0.echoes } == 20)
        end(&streams)
        daemon.stop()
        daemon = try node.daemon("nftables")
        try daemon.wait(for: "scope=everything", count: 2)
        streams = try connect(node, 20_000..<20_010)
        #expect(streams.count { $0.echoes } == 10)
        try daemon.wait { try ports(node).isDisjoint(with: 20_010..<20_020) }
        #expect(streams.count { $0.echoes } == 10)
        withExtendedLifetime(servers) {}
    }

    @Test func `what IPVS has goes on, follows its Service and ends; new clients are nftables'`()
        throws
    {
        let node = try Node()
        let spec = "externalIPs: [\(Self.external)]"
        try node.write([2], spec: spec)
        let servers = try [0, 1].map { try EchoServer(node.pod($0), port: 8080) }
        var daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced")
        var kept = try connect(node, 20_000..<20_005)
        kept += try connect(node, 20_005..<20_010, to: Self.external)
        for (round, signal) in [SIGTERM, SIGKILL].enumerated() {
            daemon.stop(signal)
            daemon = try node.daemon("nftables")
            try daemon.wait(for: "scope=everything", count: 2 + round)
            #expect(kept.count { $0.echoes } == 10)
            #expect(try node.command(["diff"]).status == 0)
            // The address may belong to others: kubernetes/kubernetes#93175.
            let addresses = try node.addresses()
            #expect(addresses.contains(Self.address) && !addresses.contains(Self.external))
        }
        let new = try connect(node, 20_020..<20_030)
        #expect(try ports(node).isDisjoint(with: 20_020..<20_030))
        // A port that is used again gets one of the Service's present endpoints.
        try node.write([3], spec: spec)
        try daemon.wait { try node.ipvsadm().contains { $0.hasSuffix("10.244.1.3:8080 -m -w 1") } }
        var again = Array(kept[3...])
        kept.removeSubrange(3...)
        end(&again)
        again = try connect(node, 20_003..<20_005)
        again += try connect(node, 20_005..<20_010, to: Self.external)
        #expect(try ports(node).isSuperset(of: 20_000..<20_010))
        for port in [UInt16(20_003), 20_005] {
            // The packet does not come from a pod, so its answer must return through this node.
            #expect(try tracked(node, port).contains("src=10.244.1.3 dst=10.244.1.1 "))
        }
        #expect((kept + new + again).count { $0.echoes } == 20)
        end(&kept)
        end(&again)
        try daemon.wait(for: "nothing of mode ipvs is left")
        #expect(try node.ipvsadm().isEmpty)
        #expect(try !node.namespace.run(["nft", "list", "ruleset"]).contains("ipvs"))
        #expect(try node.command(["diff"]).status == 0)
        #expect(new.count { $0.echoes } == 10)
        try node.write([2], spec: spec)
        try daemon.wait(for: "scope=changes")
        #expect(try node.ipvsadm().isEmpty)
        withExtendedLifetime(servers) {}
    }

    @Test func `a client of UDP that never pauses moves at once`() throws {
        let node = try Node()
        try node.write(
            [2],
            ports: "{name: dns, port: 53, protocol: UDP}",
            targets: "{name: dns, port: 5353, protocol: UDP}"
        )
        let server = try UDPSocket(node.pod(0), "::", port: 5353)
        let client = try UDPSocket(node.client, "0.0.0.0", port: 20_000)
        for (round, mode) in ["ipvs", "nftables"].enumerated() {
            let daemon = try node.daemon(mode)
            try daemon.wait(for: "scope=everything", count: round + 1)
            if mode == "nftables" { try daemon.wait(for: "nothing of mode ipvs is left") }
            #expect(client.reaches(server, by: Self.address, 53), "\(mode)")
            #expect(try ports(node).isEmpty == (mode == "nftables"))
            daemon.stop()
        }
    }

    @Test func `what does not end has a deadline`() throws {
        let node = try Node()
        try node.write([2])
        let server = try EchoServer(node.pod(0), port: 8080)
        var daemon = try node.daemon("ipvs")
        try daemon.wait(for: "synced")
        let old = try connect(node, 20_000..<20_001)
        daemon.stop()
        daemon = try node.daemon("nftables", ["--ipvs-drain-timeout", "2s"])
        try daemon.wait(for: "scope=everything", count: 2)
        let new = try connect(node, 20_001..<20_002)
        try daemon.wait(for: "nothing of mode ipvs is left")
        #expect(try node.ipvsadm().isEmpty)
        try daemon.wait { try ports(node).isEmpty }
        #expect(new[0].echoes)
        withExtendedLifetime((server, old)) {}
    }

    private func tracked(_ node: Node, _ port: UInt16) throws -> String {
        try node.namespace.run(["conntrack", "-L", "-p", "tcp", "--orig-port-src", "\(port)"])
    }
}
