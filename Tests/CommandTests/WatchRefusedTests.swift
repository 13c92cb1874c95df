import BinarySupport
import FoundationEssentials
import Glibc
import NetworkNamespaces
import Testing

/// Tests of `watch --refused` with real packets that are stopped.
@Suite(.timeLimit(.minutes(30))) struct WatchRefusedTests {
    private struct Event: Decodable {
        let event: String
        let client: String?
        let interface: String?
        let frontend: String?
        let service: String?
        let reason: String?
        let rules: [String]?
    }

    private static let noEndpoint =
        "the Service has no IPv4 endpoint anywhere: see whether its selector matches pods"

    private func node(
        _ endpoints: [Int],
        spec: String = "",
        ingress: String = "",
        elsewhere: [Int] = []
    ) throws -> Node {
        let node = try Node()
        try node.write(
            endpoints,
            ports: "{name: http, port: 80, nodePort: 30080}, {name: dns, port: 53, protocol: UDP}",
            spec: spec,
            ingress: ingress,
            targets: "{name: http, port: 8080}, {name: dns, port: 5353, protocol: UDP}",
            elsewhere: elsewhere
        )
        #expect(try node.once("nftables").status == 0)
        return node
    }

    /// Starts the command, and waits until its table is there.
    private func watch(_ node: Node, _ words: [String] = []) throws -> Daemon {
        let watch = try node.start("watch", words + ["--refused", "-o", "json"])
        try watch.wait {
            try node.namespace.run(["nft", "list", "tables"]).contains("needletail-watch")
        }
        return watch
    }

    private func events(_ watch: Daemon) throws -> [Event] {
        try watch.output.split(separator: "\n").filter { $0.hasPrefix("{") }
            .map { try JSONDecoder().decode(Event.self, from: Data($0.utf8)) }
    }

    /// Waits for the event of a client.
    private func event(_ watch: Daemon, from client: String) throws -> Event {
        var found: Event?
        try watch.wait {
            found = try events(watch).first { $0.client == client }
            return found != nil
        }
        return try #require(found)
    }

    private func send(_ namespace: NetworkNamespace, to host: String, _ port: UInt16, from: UInt16)
        throws
    {
        let stream = try Stream.connecting(namespace, host, port, from: from, limit: 1)
        #expect(stream == nil)
    }

    @Test func `what has no endpoints is refused, with the Service and the reason`() throws {
        let node = try node([], spec: "type: NodePort")
        let watch = try watch(node)
        let ruleset = try node.namespace.run(["nft", "list", "ruleset"])
        #expect(ruleset.contains("map under-way-tcp"), "\(ruleset)")
        try node.namespace.run(["nft", "-j", "list", "ruleset"])
        try send(node.pod(0), to: "10.96.0.10", 80, from: 40001)
        try send(node.client, to: Node.address, 30080, from: 40002)
        try send(node.namespace, to: "10.96.0.10", 80, from: 40003)
        try send(node.pod(0), to: "10.96.0.10", 81, from: 40004)
        let datagrams = try UDPSocket(node.pod(0), "0.0.0.0", port: 40005)
        #expect(datagrams.isRefused(by: "10.96.0.10", 53))
        let pod = try event(watch, from: "10.244.1.2:40001")
        #expect(pod.event == "refused" && pod.service == "shop/web" && pod.interface == "cni0")
        #expect(pod.frontend == "10.96.0.10:80/tcp")
        #expect(pod.reason == Self.noEndpoint, "\(pod)")
        #expect(pod.rules?.contains { $0.contains("chain no-service") } == true)
        let outside = try event(watch, from: "\(Node.clientAddress):40002")
        #expect(outside.event == "refused" && outside.service == "shop/web")
        #expect(outside.interface == "eth0")
        let own = try event(watch, from: "\(Node.address):40003")
        #expect(own.event == "refused" && own.service == "shop/web" && own.interface == nil)
        let unused = try event(watch, from: "10.244.1.2:40004")
        #expect(unused.event == "refused" && unused.service == nil)
        #expect(unused.reason == "the cluster IP has no such port", "\(unused)")
        let datagram = try event(watch, from: "10.244.1.2:40005")
        #expect(datagram.event == "refused" && datagram.frontend == "10.96.0.10:53/udp")
        #expect(datagram.service == "shop/web")
        watch.stop(SIGTERM)
        #expect(try events(watch).count == 5, "\(watch.output)")
        #expect(try !node.namespace.run(["nft", "list", "tables"]).contains("watch"))
    }

    @Test func `source ranges and policy Local drop, and say so`() throws {
        let node = try node(
            [5],
            spec: "type: LoadBalancer, loadBalancerSourceRanges: [203.0.113.0/24]",
            ingress: "{ip: 198.51.100.7}",
            elsewhere: [5]
        )
        let ranges = try watch(node, ["shop/web"])
        try send(node.client, to: "198.51.100.7", 80, from: 40001)
        let source = try event(ranges, from: "\(Node.clientAddress):40001")
        #expect(source.event == "dropped" && source.service == "shop/web")
        #expect(
            source.reason?.contains("in none of the Service's loadBalancerSourceRanges") == true
        )
        ranges.stop(SIGTERM)

        try node.write(
            [5],
            ports: "{name: http, port: 80, nodePort: 30080}",
            spec: "type: LoadBalancer, externalTrafficPolicy: Local",
            ingress: "{ip: 198.51.100.7}",
            elsewhere: [5]
        )
        #expect(try node.once("nftables").status == 0)
        let local = try watch(node, ["198.51.100.7"])
        try send(node.client, to: "198.51.100.7", 80, from: 40002)
        let policy = try event(local, from: "\(Node.clientAddress):40002")
        #expect(policy.event == "dropped" && policy.service == "shop/web")
        #expect(policy.reason?.hasPrefix("external traffic policy Local") == true, "\(policy)")
        local.stop(SIGTERM)
    }

    @Test(arguments: [
        ("prerouting priority raw", "tcp dport 80"), ("forward priority filter", "tcp dport 8080"),
        ("postrouting priority filter", "tcp dport 8080"),
    ])
    func `other programs' rules that drop are named, and what passes is not told`(
        hook: String,
        match: String
    ) throws {
        let node = try node([2])
        let server = try EchoServer(node.pod(0), port: 8080)
        let watch = try watch(node, ["--from", "192.0.2.0/24"])
        for _ in 0..<100 {
            #expect(try Stream.connecting(node.client, "10.96.0.10", 80) != nil)
        }
        try node.namespace.run([
            "nft",
            """
            table ip guard { chain c { type filter hook \(hook); policy accept; \(match) counter drop; }; }
            """,
        ])
        try send(node.pod(1), to: "10.96.0.10", 80, from: 40001)
        try send(node.client, to: "10.96.0.10", 80, from: 40002)
        let guarded = try event(watch, from: "\(Node.clientAddress):40002")
        #expect(guarded.event == "dropped" && guarded.service == "shop/web")
        #expect(guarded.reason?.contains("table ip guard, chain c") == true, "\(guarded)")
        watch.stop(SIGTERM)
        #expect(try events(watch).count == 1, "\(watch.output)")
        withExtendedLifetime(server) {}
    }

    @Test func `lines have columns, and end with their count`() throws {
        let node = try node([])
        let watch = try node.start("watch", ["--refused", "--count", "1"])
        try watch.wait(for: "REASON")
        try watch.wait {
            try send(node.pod(0), to: "10.96.0.10", 80, from: 0)
            return watch.output.contains("refused")
        }
        #expect(watch.end() == 0)
        let line = watch.output.split(separator: "\n").last ?? ""
        #expect(line.hasSuffix("  shop/web:http   \(Self.noEndpoint)"), "\(watch.output)")
        let wrong = try node.command(["watch", "--refused", "--top"])
        #expect(wrong.status == 64)
    }
}
