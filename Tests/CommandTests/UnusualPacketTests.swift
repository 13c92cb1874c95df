import BinarySupport
import Glibc
import NetworkNamespaces
import TestSupport
import Testing

/// Tests with packets that are more than a header and a payload.
///
/// These are fragments, packets with IPv6 extension headers, and ICMP errors that quote a
/// translated packet.
@Suite(.timeLimit(.minutes(30))) struct UnusualPacketTests {
    private let node: Node

    init() throws {
        node = try Node()
        try node.folder.write(
            """
            apiVersion: v1
            kind: Service
            metadata: {name: web, namespace: shop}
            spec: {clusterIPs: [10.96.0.10, "fd96::10"], ports: [{name: t, port: 80}, {name: u, port: 53, protocol: UDP}]}
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
            addressType: IPv4
            ports: &ports [{name: t, port: 8080}, {name: u, port: 5353, protocol: UDP}]
            endpoints: [{addresses: [10.244.1.2], nodeName: here}]
            ---
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata: {name: web-2, namespace: shop, labels: {kubernetes.io/service-name: web}}
            addressType: IPv6
            ports: [{name: t, port: 8080}, {name: u, port: 5353, protocol: UDP}]
            endpoints: [{addresses: ["fd00:1::2"], nodeName: here}]

            """,
            to: "web.yaml"
        )
        let result = try node.once("nftables")
        try #require(result.status == 0, "\(result.output)")
    }

    /// Echoes on both protocols and families from the only endpoint.
    private final class Server {
        private let child: Int32

        init(_ namespace: NetworkNamespace) throws {
            var ends: [Int32] = [-1, -1]
            socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends)
            let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
            child = try Command.start(
                ["python3", "-c", Self.script],
                in: namespace,
                input: null,
                output: ends[1]
            )
            close(null)
            close(ends[1])
            var byte: UInt8 = 0
            // The program prints a byte when it listens, or ends.
            let count = read(ends[0], &byte, 1)
            close(ends[0])
            try #require(count == 1)
        }

        deinit {
            kill(child, SIGKILL)
            waitpid(child, nil, 0)
        }

        private static let script = """
            import socket, threading
            def serve(kind, port):
                server = socket.socket(socket.AF_INET6, kind)
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                server.bind(("::", port))
                if kind == socket.SOCK_STREAM: server.listen()
                def run():
                    while True:
                        if kind == socket.SOCK_DGRAM:
                            data, sender = server.recvfrom(70000)
                            server.sendto(data, sender)
                        else:
                            peer, _ = server.accept()
                            while data := peer.recv(70000): peer.sendall(data)
                threading.Thread(target=run).start()
            serve(socket.SOCK_DGRAM, 5353)
            serve(socket.SOCK_STREAM, 8080)
            print("r", end="", flush=True)
            """
    }

    /// The code that each client runs before its own lines.
    private static let prelude = """
        import errno, os, socket
        def connected(kind, host, options=()):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            client = socket.socket(family, kind)
            client.settimeout(10)
            for option, value in options: client.setsockopt(socket.IPPROTO_IPV6, option, value)
            client.connect((host, 53 if kind == socket.SOCK_DGRAM else 80))
            return client
        def echoes(client, size):
            sent, received = os.urandom(size), b""
            client.sendall(sent)
            while len(received) < size: received += client.recv(70000)
            return received == sent

        """

    /// Runs the lines of a client from each of the namespaces.
    private func check(_ script: String, from clients: [NetworkNamespace]) throws {
        let server = try Server(node.pod(0))
        for client in clients {
            let output = try client.run(["python3", "-c", Self.prelude + script])
            #expect(output == "good\n", "\(output)")
        }
        withExtendedLifetime(server) {}
    }

    /// A client outside the cluster, and one in a pod, which is not masqueraded.
    private var everyone: [NetworkNamespace] {
        get throws { [node.client, try node.pod(1)] }
    }

    @Test func `datagrams in fragments arrive, and their answers`() throws {
        try check(
            """
            for host in ["10.96.0.10", "fd96::10"]:
                for size in [1, 1473, 5000, 60000]:
                    assert echoes(connected(socket.SOCK_DGRAM, host), size), (host, size)
            print("good")
            """,
            from: everyone
        )
    }

    @Test func `IPv6 extension headers hide neither protocol nor port`() throws {
        try check(
            """
            padding = bytes([0, 0, 1, 4, 0, 0, 0, 0])
            hop, destination = (socket.IPV6_HOPOPTS, padding), (socket.IPV6_DSTOPTS, padding)
            for kind in [socket.SOCK_STREAM, socket.SOCK_DGRAM]:
                for options in [[hop], [destination], [hop, destination]]:
                    # The long ones have a fragment header as well.
                    for size in [5, 5000]:
                        client = connected(kind, "fd96::10", options)
                        assert echoes(client, size), (kind, options, size)
                        client.close()
            print("good")
            """,
            from: everyone
        )
    }

    @Test func `a smaller link behind a Service is found by its clients`() throws {
        // A bridge has the smallest MTU of its links.
        try node.namespace.ip(["link set p2 mtu 1300", "link set cni0 mtu 1300"])
        try node.pod(0).ip(["link set eth0 mtu 1300"])
        try check(
            """
            IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, DO = 10, 23, 2
            for host in ["10.96.0.10", "fd96::10"]:
                client = connected(socket.SOCK_DGRAM, host)
                if ":" in host: client.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, DO)
                else: client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, DO)
                # An error about a flow's first packet cannot be given back: the flow is not known yet.
                assert echoes(client, 1)
                client.send(bytes(1400))
                # The error quotes the endpoint's address; conntrack gives it back the Service's.
                try:
                    client.recv(1)
                    print("an answer to what cannot pass")
                except OSError as error:
                    assert error.errno == errno.EMSGSIZE, error
                assert echoes(connected(socket.SOCK_STREAM, host), 200_000), host
            print("good")
            """,
            // Even without our rules, the kernel sends no such error to a neighbor on the
            // endpoint's bridge.
            from: [node.client]
        )
    }

    @Test func `an interface that vanishes takes its NodePorts and their flows along`() throws {
        let namespace = node.namespace
        try namespace.ip([
            "link add gone0 type veth peer name gone1", "addr add 198.51.100.1/24 dev gone0",
            "addr add 2001:db8:5::1/64 dev gone0 nodad", "link set gone0 up", "link set gone1 up",
        ])
        try node.write(
            [2],
            ports: "{name: http, port: 53, nodePort: 30053, protocol: UDP}",
            spec: "type: NodePort",
            targets: "{name: http, port: 5353, protocol: UDP}"
        )
        let daemon = try node.daemon("nftables", ["--nodeport-addresses", "0.0.0.0/0,::/0"])
        let has = { try namespace.run(["nft", "list", "ruleset"]).contains("198.51.100.1 . udp") }
        try daemon.wait(until: has)
        try namespace.run([
            "conntrack", "-I", "-p", "udp", "-s", "203.0.113.9", "-d", "198.51.100.1", "--sport",
            "1001", "--dport", "30053", "-r", "10.244.1.2", "-q", "203.0.113.9",
            "--reply-port-src", "5353", "--reply-port-dst", "1001", "--timeout", "600",
        ])
        try namespace.ip(["link delete gone0"])
        try daemon.wait { try !has() }
        try daemon.wait { try !namespace.run(["conntrack", "-L"]).contains("sport=1001") }
        // The daemon does not depend on the endpoints' own links.
        try namespace.ip(["link delete p2"])
        try namespace.ip([
            "link add gone0 type veth peer name gone1", "addr add 198.51.100.1/24 dev gone0",
        ])
        try daemon.wait(until: has)
        #expect(daemon.stop() == 0, "\(daemon.output)")
    }
}
