import BinarySupport
import Glibc
@testable import LocalhostForwarding
import NetworkNamespaces
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Tests of one round after another, at times that the test sets.
@Suite(.timeLimit(.minutes(30))) struct ForwarderLoopTests {
    private func port(_ endpoints: [String], _ key: FrontendKey) -> ForwardedPort {
        let target: UInt16 = key.transport == .udp ? 53 : 8080
        return ForwardedPort(
            key: key,
            portName: "",
            endpoints: endpoints.map { Endpoint(ip($0), target, isLocal: true) }
        )
    }

    private func tcp(_ host: String = "127.0.0.1", _ number: UInt16 = 30080) -> FrontendKey {
        FrontendKey(ip(host), .tcp, number)
    }

    private func udp(_ host: String) -> FrontendKey { FrontendKey(ip(host), .udp, 30053) }

    @Test(arguments: [("127.0.0.1", "10.244.1.5"), ("::1", "fd00:1::5")])
    func `UDP clients are forgotten after 30 s, or 120 s if they were answered`(
        host: String,
        endpoint: String
    ) throws {
        let rounds = try LoopRounds()
        let server = try DatagramSocket(rounds.namespace, endpoint, port: 53)
        try rounds.update(["a": [port([endpoint], udp(host))]])
        let clients = try (0..<2).map { _ in try DatagramSocket(rounds.namespace, host) }
        for (number, client) in clients.enumerated() {
            #expect(client.send([UInt8(number)], to: host))
            try rounds.run { rounds.statistics.opened[.udp] == number + 1 }
            #expect(server.receive() == [UInt8(number)])
        }
        #expect(server.reply([9]), "the second is answered")
        var answer: [UInt8]?
        try rounds.run {
            answer = clients[1].receive(MSG_DONTWAIT)
            return answer != nil
        }
        #expect(answer == [9])
        let last = try #require(rounds.loop.sessions.values.map(\.lastActive).max())
        let first = try #require(rounds.loop.sessions.values.map(\.lastActive).min())
        func open(at time: ContinuousClock.Instant) -> Int? {
            rounds.loop.now = time
            rounds.loop.expireSessions()
            return rounds.statistics.open[.udp]
        }
        #expect(open(at: first + .seconds(30)) == 2)
        #expect(open(at: last + .milliseconds(30_001)) == 1)
        #expect(open(at: last + .seconds(120)) == 1)
        #expect(open(at: last + .milliseconds(120_001)) == 0)
        #expect(rounds.loop.usedDescriptors == 1 && rounds.loop.owners.count == 2)
    }

    @Test func `an endpoint that answers nothing at all is given up after 5 s`() throws {
        let rounds = try LoopRounds(network: [
            "link set lo up", "link add name v0 type veth peer name v1", "link set v0 up",
            "link set v1 up", "addr add 198.51.100.1/24 dev v0",
        ])
        try rounds.update(["a": [port(["198.51.100.2"], tcp())]])
        let client = try #require(try Stream.connecting(rounds.namespace, "127.0.0.1", 30080))
        try rounds.run { rounds.statistics.open[.tcp] == 1 }
        let start = try #require(rounds.loop.connections.values.first?.lastActive)
        rounds.loop.now = start + .seconds(5)
        rounds.loop.expireConnections()
        #expect(rounds.statistics.open[.tcp] == 1)
        rounds.loop.now = start + .milliseconds(5001)
        rounds.loop.expireConnections()
        #expect(rounds.statistics.open[.tcp] == 0 && rounds.statistics.failures == [.endpoint: 1])
        var byte: UInt8 = 0
        #expect(recv(client.descriptor, &byte, 1, 0) == -1 && errno == ECONNRESET)
    }

    @Test func `a quiet connection lives on, but only for an hour if one side has ended`() throws {
        let rounds = try LoopRounds()
        let listener = try Stream.listening(rounds.namespace, port: 8080)
        try rounds.update(["a": [port(["10.244.1.5"], tcp())]])
        let client = try #require(try Stream.connecting(rounds.namespace, "127.0.0.1", 30080))
        try rounds.run { rounds.loop.connections.values.contains { !$0.isConnecting } }
        let server = listener.accepted()
        #expect(try rounds.carry(client, server))
        let connection = try #require(rounds.loop.connections.values.first)
        func isOpen(after time: Duration) -> Bool {
            rounds.loop.now = connection.lastActive + time
            rounds.loop.expireConnections()
            return rounds.statistics.open[.tcp] == 1
        }
        #expect(isOpen(after: .seconds(30 * 86_400)))
        shutdown(client.descriptor, Int32(SHUT_WR))
        try rounds.run { connection.isHalfClosed }
        #expect(isOpen(after: .seconds(3600)))
        #expect(!isOpen(after: .milliseconds(3_600_001)))
        var byte: UInt8 = 0
        #expect(recv(client.descriptor, &byte, 1, 0) == -1 && errno == ECONNRESET)
        #expect(rounds.statistics.failures.isEmpty)
    }

    @Test(arguments: [("127.0.0.1", "192.0.2.1"), ("::1", "2001:db8::1")])
    func `an endpoint without a route fails at once`(host: String, endpoint: String) throws {
        let rounds = try LoopRounds()
        try rounds.update(["a": [port([endpoint], tcp(host)), port([endpoint], udp(host))]])
        #expect(try DatagramSocket(rounds.namespace, host).send([1], to: host))
        try rounds.run { rounds.statistics.failures == [.endpoint: 1] }
        let client = try #require(try Stream.connecting(rounds.namespace, host, 30080))
        try rounds.run { rounds.statistics.failures == [.endpoint: 2] }
        var byte: UInt8 = 0
        #expect(recv(client.descriptor, &byte, 1, 0) == -1 && errno == ECONNRESET)
        #expect(rounds.statistics.opened.isEmpty && rounds.loop.usedDescriptors == 2)
    }

    @Test func `what keeps a port from being served is told with a remedy`() throws {
        let down = try LoopRounds(network: [])
        try down.update(["a": [port(["fd00:1::5"], tcp("::1")), port(["fd00:1::5"], udp("::1"))]])
        let notes = down.notes.all.withLock(\.self)
        #expect(notes.count == 2 && down.statistics.listenFailures == [.ipv6: 2])
        for note in notes {
            #expect(note.contains("this node has no such address (ip link set lo up)"), "\(note)")
        }
        var limits = LocalhostForwarder.Limits()
        limits.descriptors = 1
        let few = try LoopRounds(limits)
        try few.update(["a": [port(["10.244.1.5"], udp("127.0.0.1")), port(["::5"], tcp("::1"))]])
        #expect(few.statistics.listeners == [.ipv4: 1] && few.loop.usedDescriptors == 1)
        let note = few.notes.all.withLock(\.first)
        #expect(
            note?.contains("[::1]:30080/tcp is not served on localhost") == true,
            "\(note ?? "")"
        )
        #expect(note?.contains("raise the limit of open files") == true, "\(note ?? "")")
        // The socket of the port leaves no descriptor for a client.
        #expect(try DatagramSocket(few.namespace, "127.0.0.1").send([1], to: "127.0.0.1"))
        try few.run { few.statistics.failures[.limit] == 1 }
        #expect(few.statistics.opened.isEmpty)
    }

    /// Of each port, a model remembers the Service and its endpoints.
    @Test(arguments: 0..<8 as Range<UInt64>)
    func `after any history ports with endpoints are served, and old connections go on`(
        seed: UInt64
    ) throws {
        var random = Seeded(seed)
        let rounds = try LoopRounds()
        let keys = ["127.0.0.1", "::1"].flatMap { [tcp($0), tcp($0, 30081)] }
        let addresses = ["10.244.1.5", "10.244.1.6", "fd00:1::5", "fd00:1::6"]
        let listeners = try addresses.map {
            try Stream.listening(rounds.namespace, $0, port: 8080)
        }
        var model: [FrontendKey: (service: String, endpoints: [String])] = [:]
        var pairs: [(Stream, Stream)] = []
        for step in 0..<25 {
            // Services that change together may take ports from each other.
            let services = ["a", "b", "c"].filter { _ in Bool.random(using: &random) }
            var changes: [String: [ForwardedPort]] = [:]
            for service in services { changes[service] = [] }
            model = model.filter { !services.contains($0.value.service) }
            for key in keys where model[key] == nil && Int.random(in: 0..<3, using: &random) > 0 {
                guard let service = services.randomElement(using: &random) else { continue }
                let family = key.address.family == .ipv4 ? addresses[..<2] : addresses[2...]
                let endpoints = family.filter { _ in Bool.random(using: &random) }
                changes[service, default: []].append(port(endpoints, key))
                if !endpoints.isEmpty { model[key] = (service, endpoints) }
            }
            try rounds.update(changes)
            try rounds.listenEverywhere()
            #expect(Set(rounds.loop.ports.keys) == Set(model.keys), "seed \(seed) step \(step)")
            #expect(rounds.statistics.listeners.values.reduce(0, +) == model.count)
            for key in keys {
                let host = "\(key.address)"
                let client = try rounds.connect(host, key.port, isServed: model[key] != nil)
                #expect((client != nil) == (model[key] != nil), "seed \(seed) step \(step) \(key)")
                guard let client, let endpoints = model[key]?.endpoints else { continue }
                try rounds.run { rounds.statistics.opened[.tcp] == pairs.count + 1 }
                var entries = listeners.map {
                    pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0)
                }
                try rounds.run { poll(&entries, nfds_t(entries.count), 0) == 1 }
                let index = try #require(entries.firstIndex { $0.revents != 0 })
                #expect(endpoints.contains(addresses[index]), "seed \(seed) step \(step) \(key)")
                pairs.append((client, listeners[index].accepted()))
            }
            for (client, server) in pairs.shuffled(using: &random).prefix(3) {
                #expect(try rounds.carry(client, server), "seed \(seed) step \(step)")
                #expect(try rounds.carry(server, client), "seed \(seed) step \(step)")
            }
        }
        #expect(rounds.statistics.open[.tcp] == pairs.count)
        pairs = []
        try rounds.run { rounds.statistics.open[.tcp] == 0 }
        #expect(rounds.loop.usedDescriptors == model.count)
    }

    @Test func `a reset after the end of a stream is passed on`() throws {
        let rounds = try LoopRounds()
        let listener = try Stream.listening(rounds.namespace, port: 8080)
        try rounds.update(["a": [ForwarderBench.port(["10.244.1.5"])]])
        let client = try #require(try Stream.connecting(rounds.namespace, "127.0.0.1", 30080))
        try rounds.run { rounds.loop.connections.values.contains { !$0.isConnecting } }
        let server = listener.accepted()
        #expect(try rounds.carry(client, server))
        shutdown(client.descriptor, Int32(SHUT_WR))
        try rounds.run { rounds.loop.connections.values.contains { $0.isHalfClosed } }
        client.reset()
        try rounds.run { rounds.statistics.open[.tcp] == 0 }
        // The endpoint learns of it: what it sends meets a reset, and not a connection.
        var byte: UInt8 = 0
        #expect(recv(server.descriptor, &byte, 1, 0) <= 0)
    }
}
