import BinarySupport
import Glibc
import NetworkNamespaces
import Observability
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(30))) struct DaemonTests {
    private let namespace: NetworkNamespace
    private let folder: Folder
    private let log: String

    init() throws {
        namespace = try NetworkNamespace()
        folder = try Folder()
        log = "\(folder.path)/.log"
        // The endpoints are addresses of the namespace itself; the virtual IP is routed to
        // loopback.
        try namespace.ip([
            "link set lo up", "addr add 10.244.1.5/32 dev lo", "addr add 10.244.1.6/32 dev lo",
            "addr add 192.0.2.1/32 dev lo", "route add default dev lo",
        ])
    }

    private func manifest(_ endpoints: [String], nodePort: Int? = nil) -> String {
        let list = endpoints.map { "{addresses: [\"\($0)\"], nodeName: here}" }.joined(
            separator: ", "
        )
        return """
            {apiVersion: v1, kind: Service, metadata: {name: web, namespace: test}, spec: {type: NodePort, clusterIP: 10.96.0.10, ports: [{name: http, port: 80, nodePort: \(nodePort ?? 30080)}]}}
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: web-1, namespace: test, labels: {kubernetes.io/service-name: web}}
            addressType: IPv4
            ports: [{name: http, port: 8080}]
            endpoints: [\(list)]

            """
    }

    private func start(_ flags: [String] = []) throws -> Daemon {
        let daemon = try Daemon(
            [
                "--manifests", folder.path, "--hostname-override", "here", "--node-ip", "192.0.2.1",
                "-v", "2",
            ] + flags,
            in: namespace,
            log: log
        )
        return daemon
    }

    @Test func `it follows its manifests, and keeps the last good ones`() throws {
        try folder.write(manifest(["10.244.1.5"]), to: "web.yaml")
        let daemon = try start()
        try daemon.wait(for: "synced")
        #expect(
            try namespace.run(["nft", "-s", "list", "ruleset"]).contains(": 10.244.1.5 . 8080")
        )
        try folder.write(manifest(["10.244.1.6"]), to: "web.yaml")
        try daemon.wait(for: "synced", count: 2)
        let moved = try namespace.run(["nft", "-s", "list", "ruleset"])
        #expect(moved.contains(": 10.244.1.6 . 8080") && !moved.contains(": 10.244.1.5"))
        try folder.write("{broken", to: "web.yaml")
        try daemon.wait(for: "its last good content stays in force")
        try folder.write("", to: "web.yaml")
        try daemon.wait(for: "web.yaml: is empty")
        #expect(try namespace.run(["nft", "-s", "list", "ruleset"]) == moved)
        #expect(daemon.stop(SIGTERM) == 0)
        #expect(try namespace.run(["nft", "-s", "list", "ruleset"]) == moved)
    }

    @Test func `NodePorts follow the node's addresses`() throws {
        try folder.write(manifest(["10.244.1.5"]), to: "web.yaml")
        let daemon = try start(["--nodeport-addresses", "192.0.2.0/24"])
        try daemon.wait(for: "synced")
        #expect(try namespace.run(["nft", "list", "ruleset"]).contains("192.0.2.1 . tcp . 30080"))
        try namespace.ip(["addr add 192.0.2.77/32 dev lo"])
        try daemon.wait(for: "synced", count: 2)
        #expect(try namespace.run(["nft", "list", "ruleset"]).contains("192.0.2.77 . tcp . 30080"))
        try namespace.ip(["addr del 192.0.2.77/32 dev lo"])
        try daemon.wait(for: "synced", count: 3)
        #expect(try !namespace.run(["nft", "list", "ruleset"]).contains("192.0.2.77"))
    }

    @Test func `what stops forwarding is told at the start and live`() throws {
        try folder.write(manifest(["10.244.1.5"]), to: "web.yaml")
        try namespace.setSysctl("net/ipv4/ip_forward", "0")
        try namespace.run(["iptables-nft", "-P", "FORWARD", "DROP"])
        let daemon = try start(["--cluster-cidr", "10.244.0.0/16"])
        func status() throws -> String { try Binary.run(["status"], in: namespace).output }
        let policy = "chain FORWARD of table ip filter has the policy drop"
        try daemon.wait(for: "traffic to pods may be dropped: sysctl net.ipv4.ip_forward is 0")
        try daemon.wait(for: "traffic to pods may be dropped: \(policy)")
        try daemon.wait { try status().contains("forwarding   may be stopped: \(policy)") }
        try namespace.setSysctl("net/ipv4/ip_forward", "1")
        try daemon.wait(for: "sysctl net.ipv4.ip_forward does not stand in the way")
        try namespace.run(["iptables-nft", "-P", "FORWARD", "ACCEPT"])
        try daemon.wait { try status().contains("forwarding   found nothing that would stop it") }
        try namespace.run(["iptables-nft", "-P", "FORWARD", "DROP"])
        try daemon.wait(for: "traffic to pods may be dropped: \(policy)", count: 2)
    }

    @Test func `a family that the cluster does not have need not be forwarded`() throws {
        try folder.write(manifest(["10.244.1.5"]), to: "web.yaml")
        try namespace.setSysctl("net/ipv4/ip_forward", "0")
        try namespace.setSysctl("net/ipv6/conf/all/forwarding", "0")
        let daemon = try start(["--cluster-cidr", "fd00:1::/48"])
        try daemon.wait(for: "sysctl net.ipv6.conf.all.forwarding is 0")
        #expect(!daemon.output.contains("ip_forward is 0"))
    }

    @Test func `a flushed ruleset comes back`() throws {
        try folder.write(manifest(["10.244.1.5"]), to: "web.yaml")
        let daemon = try start()
        try daemon.wait(for: "synced")
        let before = try namespace.run(["nft", "list", "ruleset"])
        try namespace.run(["nft", "flush", "ruleset"])
        try daemon.wait(for: "synced", count: 2)
        #expect(try namespace.run(["nft", "list", "ruleset"]) == before)
    }

    // kubernetes/kubernetes#75360
    @Test func `a thousand open connections survive a kill and a restart, which sends nothing`()
        throws
    {
        DescriptorLimit.raise()
        try folder.write(manifest(["10.244.1.5", "10.244.1.6"]), to: "web.yaml")
        let first = try start()
        try first.wait(for: "synced")
        let connections = try Connections(count: 1000, in: namespace)
        try connections.exchange("a")
        first.stop(SIGKILL)
        try connections.exchange("b")
        let second = try start()
        try second.wait(for: "synced", count: 2)
        #expect(
            second.output.contains(
                "added=0 bytes=0 objects=0 removed=0 scope=everything servers=0"
            ),
            "\(second.output)"
        )
        try connections.exchange("c")
        second.stop()
        try connections.exchange("d")
    }
}

/// Connections through the virtual IP, with both ends in this process.
private final class Connections {
    private var clients: [Int32] = []
    private var servers: [Int32] = []

    init(count: Int, in namespace: NetworkNamespace) throws {
        try namespace.inside {
            let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            defer { close(listener) }
            try #require(
                withSocketAddress("0.0.0.0", 8080) { bind(listener, $0, $1) } == 0
                    && listen(listener, 128) == 0
            )
            for _ in 0..<count {
                let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
                var limit = timeval(tv_sec: 5, tv_usec: 0)
                setsockopt(
                    client,
                    SOL_SOCKET,
                    SO_RCVTIMEO,
                    &limit,
                    socklen_t(MemoryLayout<timeval>.size)
                )
                clients.append(client)
                try #require(
                    withSocketAddress("10.96.0.10", 80) { connect(client, $0, $1) } == 0,
                    "errno \(errno)"
                )
                servers.append(accept(listener, nil, nil))
            }
        }
    }

    /// Sends a byte through each connection.
    func exchange(_ text: Character) throws {
        for server in servers {
            var byte = text.asciiValue ?? 0
            try #require(send(server, &byte, 1, Int32(MSG_NOSIGNAL)) == 1)
        }
        // The server ends were accepted in the order in which the clients connected.
        for client in clients {
            var byte: UInt8 = 0
            try #require(
                recv(client, &byte, 1, 0) == 1 && byte == text.asciiValue,
                "errno \(errno)"
            )
        }
    }

    deinit { for end in clients + servers { close(end) } }
}
