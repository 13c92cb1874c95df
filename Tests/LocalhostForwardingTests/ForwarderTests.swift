import BinarySupport
import Glibc
import LocalhostForwarding
import Logging
import NetworkNamespaces
import NetworkTypes
import ServicePlan
import Synchronization
import TestSupport
import Testing

/// A forwarder in a namespace; its endpoints are addresses of the same namespace.
final class ForwarderBench {
    let namespace: NetworkNamespace
    let forwarder: LocalhostForwarder
    let notes = NoteBox()

    final class NoteBox: Sendable {
        let all = Mutex<[String]>([])
    }

    init(_ limits: LocalhostForwarder.Limits = .init()) throws {
        namespace = try NetworkNamespace()
        try namespace.ip([
            "link set lo up", "addr add 10.244.1.5/32 dev lo", "addr add 10.244.1.6/32 dev lo",
            "addr add fd00:1::5/128 dev lo nodad",
        ])
        // A busy machine may let an endpoint wait for seconds.
        var limits = limits
        limits.connecting = .seconds(60)
        forwarder = LocalhostForwarder(
            limits: limits,
            onFailure: { [notes] service, note in
                notes.all.withLock { $0.append("\(service): \(note)") }
            },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
    }

    deinit { forwarder.stop() }

    static func port(
        _ endpoints: [String],
        transport: TransportProtocol = .tcp,
        host: String = "127.0.0.1",
        number: UInt16 = 30080,
        target: UInt16 = 8080,
        affinity: UInt32? = nil
    ) -> ForwardedPort {
        ForwardedPort(
            key: FrontendKey(ip(host), transport, number),
            portName: "http",
            endpoints: endpoints.map { Endpoint(ip($0), target, isLocal: true) },
            affinityTimeout: affinity
        )
    }

    /// Updates the ports, and waits until the expected number of them is listened on.
    func serve(_ ports: [ForwardedPort], service: String = "shop/web", listeners: Int? = nil) throws
    {
        try namespace.inside { forwarder.update([service: ports]) }
        try wait { $0.listeners.values.reduce(0, +) == listeners ?? ports.count }
    }

    func wait(until holds: (ForwarderStatistics) -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while !holds(forwarder.statistics) {
            guard .now < deadline else { throw CommandError("\(forwarder.statistics)") }
            usleep(1000)
        }
    }

    func connect(_ host: String = "127.0.0.1", _ port: UInt16 = 30080) throws -> Stream? {
        try Stream.connecting(namespace, host, port)
    }
}

@Suite(.timeLimit(.minutes(30))) struct ForwarderTests {
    @Test func `TCP is forwarded in both families`() throws {
        let bench = try ForwarderBench()
        let server = try EchoServer(bench.namespace, port: 8080)
        try bench.serve([
            ForwarderBench.port(["10.244.1.5"]),
            ForwarderBench.port(["fd00:1::5"], host: "::1"),
        ])
        for host in ["127.0.0.1", "::1"] {
            #expect(try bench.connect(host)?.echoes == true, "\(host)")
        }
        // The forwarder must not be reachable from other addresses.
        #expect(try bench.connect("10.244.1.5") == nil)
        let statistics = bench.forwarder.statistics
        #expect(statistics.listeners == [.ipv4: 1, .ipv6: 1] && statistics.opened[.tcp] == 2)
        try bench.wait { $0.open[.tcp] == 0 }
        withExtendedLifetime(server) {}
    }

    @Test func `each direction ends by itself`() throws {
        let bench = try ForwarderBench()
        let listener = try Stream.listening(bench.namespace, port: 8080)
        try bench.serve([ForwarderBench.port(["10.244.1.5"])])
        let client = try #require(try bench.connect())
        let server = listener.accepted()
        #expect(client.reaches(server))
        shutdown(client.descriptor, Int32(SHUT_WR))
        var byte: UInt8 = 0
        #expect(recv(server.descriptor, &byte, 1, 0) == 0, "the end arrives")
        #expect(server.reaches(client), "and the other direction goes on")
        shutdown(server.descriptor, Int32(SHUT_WR))
        #expect(recv(client.descriptor, &byte, 1, 0) == 0)
        try bench.wait { $0.open[.tcp] == 0 }
    }

    @Test func `a reset is passed on, and an endpoint that refuses is one`() throws {
        let bench = try ForwarderBench()
        let listener = try Stream.listening(bench.namespace, port: 8080)
        try bench.serve([
            ForwarderBench.port(["10.244.1.5"]),
            ForwarderBench.port(["10.244.1.6"], number: 30081, target: 1),
        ])
        let client = try #require(try bench.connect())
        let server = listener.accepted()
        #expect(client.reaches(server))
        server.reset()
        var byte: UInt8 = 0
        #expect(recv(client.descriptor, &byte, 1, 0) == -1 && errno == ECONNRESET)
        let refused = try bench.connect("127.0.0.1", 30081)
        // The reset may come even before the client sees that it was accepted.
        if let refused {
            #expect(recv(refused.descriptor, &byte, 1, 0) == -1 && errno == ECONNRESET)
        }
        try bench.wait { $0.failures[.endpoint] == 1 && $0.open[.tcp] == 0 }
    }

    @Test func `a receiver that takes nothing stops its sender, and nothing is lost`() throws {
        let bench = try ForwarderBench()
        let listener = try Stream.listening(bench.namespace, port: 8080)
        try bench.serve([ForwarderBench.port(["10.244.1.5"])])
        let client = try #require(try bench.connect())
        let server = listener.accepted()
        // The kernel's buffers on the path hold a few megabytes; a forwarder that kept reading
        // would take all.
        let pattern = (0..<65_521).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var sent = 0
        var stalls = 0
        while sent < 256 << 20, stalls < 50 {
            let count = send(
                client.descriptor,
                pattern,
                pattern.count,
                Int32(MSG_NOSIGNAL | MSG_DONTWAIT)
            )
            if count > 0 {
                #expect(count == pattern.count || sent > 0)
                (sent, stalls) = (sent + count, 0)
                if count < pattern.count { break }
            } else {
                stalls += 1
                usleep(10_000)
            }
        }
        #expect(sent < 128 << 20, "\(sent)")
        shutdown(client.descriptor, Int32(SHUT_WR))
        var received = 0
        var isWhole = true
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(server.descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            for offset in stride(from: 0, to: count, by: 997) {
                let position = (received + offset) % pattern.count
                isWhole = isWhole && buffer[offset] == pattern[position]
            }
            received += count
        }
        #expect(received == sent && isWhole)
    }

    @Test func `there are so many connections and no more`() throws {
        var limits = LocalhostForwarder.Limits()
        limits.connections = 2
        let bench = try ForwarderBench(limits)
        let server = try EchoServer(bench.namespace, port: 8080)
        try bench.serve([ForwarderBench.port(["10.244.1.5"])])
        var first = try bench.connect()
        let second = try bench.connect()
        #expect(first?.echoes == true && second?.echoes == true)
        #expect(try bench.connect()?.echoes != true)
        try bench.wait { $0.failures[.limit] == 1 }
        first = nil
        try bench.wait { $0.open[.tcp] == 1 }
        #expect(try bench.connect()?.echoes == true)
        #expect(second?.echoes == true)
        withExtendedLifetime(server) {}
    }

    @Test func `descriptors are limited, listening included`() throws {
        var limits = LocalhostForwarder.Limits()
        limits.descriptors = 3
        let bench = try ForwarderBench(limits)
        let server = try EchoServer(bench.namespace, port: 8080)
        let ports = (0..<2).map { ForwarderBench.port(["10.244.1.5"], number: 30080 + $0) }
        try bench.serve(ports)
        #expect(try bench.connect()?.echoes != true, "it would need two more")
        try bench.wait { $0.failures[.limit] == 1 }
        try bench.serve([ports[0]])
        #expect(try bench.connect()?.echoes == true)
        withExtendedLifetime(server) {}
    }

    @Test func `a port that another program has is told once, and tried again`() throws {
        let bench = try ForwarderBench()
        let server = try EchoServer(bench.namespace, port: 8080)
        var other: Stream? = try Stream.listening(bench.namespace, "127.0.0.1", port: 30080)
        try bench.serve([ForwarderBench.port(["10.244.1.5"])], listeners: 0)
        try bench.wait { $0.listenFailures[.ipv4] ?? 0 >= 2 }
        #expect(
            bench.notes.all.withLock(\.self) == [
                "shop/web: NodePort 127.0.0.1:30080/tcp is not served on localhost: Address already in"
                    + " use; another program listens there; tried again every 5 seconds"
            ]
        )
        withExtendedLifetime(other) {}
        other = nil
        try bench.wait { $0.listeners[.ipv4] == 1 }
        #expect(try bench.connect()?.echoes == true)
        withExtendedLifetime(server) {}
    }

    @Test func `a port that goes is refused, and its connections go on`() throws {
        let bench = try ForwarderBench()
        let server = try EchoServer(bench.namespace, port: 8080)
        try bench.serve([ForwarderBench.port(["10.244.1.5"])])
        let client = try #require(try bench.connect())
        #expect(client.echoes)
        try bench.serve([ForwarderBench.port([])], listeners: 0)
        #expect(try bench.connect() == nil)
        #expect(client.echoes)
        bench.forwarder.stop()
        var byte: UInt8 = 0
        #expect(recv(client.descriptor, &byte, 1, 0) <= 0, "stopping ends them")
        withExtendedLifetime(server) {}
    }

    @Test func `another Service may take over a port`() throws {
        let bench = try ForwarderBench()
        let server = try EchoServer(bench.namespace, port: 8081)
        try bench.serve([ForwarderBench.port(["10.244.1.5"])])
        try bench.namespace.inside {
            bench.forwarder.update([
                "shop/web": [], "shop/two": [ForwarderBench.port(["10.244.1.6"], target: 8081)],
            ])
        }
        let deadline = ContinuousClock.now + .seconds(30)
        while try bench.connect()?.echoes != true, .now < deadline { usleep(1000) }
        #expect(bench.forwarder.statistics.listeners[.ipv4] == 1)
        withExtendedLifetime(server) {}
    }

    @Test func `with affinity everyone has one endpoint`() throws {
        let bench = try ForwarderBench()
        let listeners = try ["10.244.1.5", "10.244.1.6"].map {
            try Stream.listening(bench.namespace, $0, port: 8080)
        }
        for listener in listeners { _ = fcntl(listener.descriptor, F_SETFL, O_NONBLOCK) }
        func taken() -> [Int] {
            listeners.map { listener in
                var count = 0
                while case let descriptor = accept(listener.descriptor, nil, nil), descriptor >= 0 {
                    close(descriptor)
                    count += 1
                }
                return count
            }
        }
        func connect(_ count: Int) throws {
            for number in 1...count {
                _ = try bench.connect()
                try bench.wait { $0.opened[.tcp] ?? 0 >= number }
            }
        }
        try bench.serve([ForwarderBench.port(["10.244.1.5", "10.244.1.6"], affinity: 60)])
        try connect(20)
        var counts = [0, 0]
        let deadline = ContinuousClock.now + .seconds(30)
        while counts.reduce(0, +) < 20, .now < deadline {
            counts = zip(counts, taken()).map(+)
        }
        #expect(counts.sorted() == [0, 20])
    }
}
