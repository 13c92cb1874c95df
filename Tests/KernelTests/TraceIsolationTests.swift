import Backend
import Dispatch
import Glibc
import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import Netlink
import ServicePlan
import Synchronization
import TestSupport
import Testing
import Threads

/// Tests that tracing concerns one packet, and nobody notices it but the one who asks.
@Suite(.timeLimit(.minutes(30))) struct TraceIsolationTests {
    private let table: KernelTable
    private let client: NetworkNamespace
    private static let frontend = FrontendKey(ip("10.96.0.1"), .udp, 80)
    private static let own = ip("10.9.0.1")
    private static let outsider = ip("10.9.0.2")

    /// A node with a Service of one endpoint, which nobody answers for, and a client on another machine.
    init() throws {
        table = try KernelTable()
        client = try NetworkNamespace()
        try table.namespace.ip([
            "link add cni0 type bridge", "addr add 10.2.0.1/16 dev cni0", "link set cni0 up",
            "link add eth0 type veth peer name eth1", "addr add \(Self.own)/24 dev eth0",
            "link set eth0 up", "route add default via \(Self.outsider)",
        ])
        try table.namespace.move("eth1", to: client)
        try client.ip([
            "link set lo up", "addr add \(Self.outsider)/24 dev eth1", "link set eth1 up",
            "route add default via \(Self.own)",
        ])
        try table.namespace.setSysctl("net/ipv4/ip_forward", "1")
    }

    private func program() async throws {
        let pool = Pool([Endpoint(ip("10.2.0.5"), 8080, isLocal: true)])
        let frontends = [TransportProtocol.tcp, .udp].map { transport in
            Frontend(
                key: FrontendKey(Self.frontend.address, transport, 80),
                kind: .clusterIP,
                portName: "",
                action: .balance(pool: 0),
                masquerade: .nonPods
            )
        }
        let plan = ServicePlan(
            service: "test/web",
            frontends: frontends.sorted { $0.key < $1.key },
            pools: [pool]
        )
        _ = try await table.client.commit(.everything([plan]), node: table.node)
    }

    private func verify(
        _ transport: TransportProtocol,
        from source: IPAddress = Self.own,
        _ port: UInt16 = 0,
        _ origin: PacketOrigin = .sent
    ) throws -> Verification {
        let packet = FirstPacket(
            from: source,
            port,
            to: FrontendKey(Self.frontend.address, transport, 80),
            by: origin == .sent ? nil : "eth0"
        )
        return try table.namespace.inside { PacketVerification(packet, origin).perform() }
    }

    /// Sends a datagram to the frontend from a port of its own, or from a given one.
    private static func send(_ namespace: NetworkNamespace, from port: UInt16 = 0) throws {
        let descriptor = try namespace.inside {
            socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        }
        defer { close(descriptor) }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        _ = withAddress(ip("0.0.0.0"), port) { bind(descriptor, $0, $1) }
        _ = withAddress(frontend.address, frontend.port) { connect(descriptor, $0, $1) }
        Glibc.send(descriptor, "x", 1, 0)
    }

    /// Sends again and again, from a thread of its own: a task might wait for a thread that its own
    /// test holds.
    private final class Sender: Sendable {
        private let isStopped = Mutex(false)
        private let end = DispatchSemaphore(value: 0)

        init(_ send: @escaping @Sendable () throws -> Void) {
            startThread { [self] in
                while !isStopped.withLock({ $0 }) { try? send() }
                end.signal()
            }
        }

        func stop() {
            isStopped.withLock { $0 = true }
            end.wait()
        }
    }

    /// Keeps sending while the body runs.
    private func during<Result>(_ body: () throws -> Result) rethrows -> Result {
        let namespace = table.namespace
        let sender = Sender { try Self.send(namespace) }
        defer { sender.stop() }
        return try body()
    }

    /// Another one who receives what is traced.
    private final class Listener {
        private let trace: PacketTrace

        init() throws {
            trace = try PacketTrace()
            try trace.start()
        }

        func events() throws -> [TraceEvent] {
            var events: [TraceEvent] = []
            while try trace.receive(milliseconds: 0, { events.append($0) }) {}
            return events
        }
    }

    @Test(arguments: [TransportProtocol.tcp, .udp])
    func `no packet is traced but the one`(transport: TransportProtocol) async throws {
        try await program()
        let listener = try table.namespace.inside { try Listener() }
        let seen = try during { try verify(transport) }
        #expect(seen.judgement == .agrees, "\(seen)")
        let packets = try listener.events().compactMap(\.packet)
        #expect(!packets.isEmpty)
        let client = try #require(seen.client)
        #expect(packets.allSatisfy { $0.transport == transport.rawValue })
        // The last one is what masquerading has made of it.
        #expect(packets.dropLast().allSatisfy { $0.source == client }, "\(packets)")
    }

    @Test func `others may trace everything at the same time`() async throws {
        try await program()
        try table.namespace.run(
            ["nft", "-f", "-"],
            input: """
                table ip other {
                    chain x { type filter hook output priority -400; meta nftrace set 1; }
                }

                """
        )
        for _ in 0..<10 {
            let seen = try during { try verify(.udp) }
            #expect(seen.judgement == .agrees, "\(seen)")
            #expect(seen.steps.contains { $0.table == "ip other" })
        }
    }

    @Test func `verdicts are what they are without it`() async throws {
        try await program()
        try table.nft(
            "add chain ip needletail counting { type filter hook postrouting priority 500; }"
        )
        try table.nft("add rule ip needletail counting udp dport 8080 counter")
        for _ in 0..<5 { _ = try verify(.udp) }
        #expect(
            try table.nft("list", "chain", "ip", "needletail", "counting").contains("packets 5")
        )
    }

    @Test func `neither our own tables nor forwarding are touched by it`() async throws {
        try await program()
        _ = try await table.client.forwardChains()
        var events = await table.client.events().makeAsyncIterator()
        for _ in 0..<3 { #expect(try verify(.tcp).judgement == .agrees) }
        // The first event is about what comes later.
        try table.nft("flush chain ip needletail pick")
        #expect(await events.next() == .foreignChange(.table))
        #expect(try await table.client.forwardChains().isEmpty)
    }

    // MARK: Packets of others

    /// Verifies a client's next packet; the client sends as soon as it is awaited.
    private func await(_ port: UInt16) throws -> Verification {
        let (table, client) = (table, client)
        let sender = Sender {
            guard try table.nft("list", "tables").contains("needletail-verify") else { return }
            try Self.send(client, from: port)
        }
        defer { sender.stop() }
        return try verify(.udp, from: Self.outsider, port, .awaited(.seconds(60)))
    }

    @Test func `a client's next packet is awaited, and one of a known connection is told`()
        async throws
    {
        try await program()
        let first = try self.await(40_000)
        #expect(first.judgement == .agrees, "\(first)")
        #expect(first.client == AddressAndPort(Self.outsider, 40_000))
        #expect(first.steps.contains { $0.chain == "pick" })
        let second = try self.await(40_000)
        #expect(second.judgement == .agrees, "\(second)")
        #expect(!second.steps.contains { $0.chain == "pick" })
        let any = try self.await(0)
        #expect(any.judgement == .agrees && any.client?.address == Self.outsider, "\(any)")
        for seen in [first, second, any] {
            #expect(seen.steps.first?.hook == "prerouting")
            guard case .delivered(AddressAndPort(ip("10.2.0.5"), 8080), _, "cni0") = seen.fate
            else {
                Issue.record("\(seen)")
                return
            }
        }
    }

    @Test func `a client that sends nothing is not waited for longer than asked`() async throws {
        try await program()
        let seen = try verify(.udp, from: Self.outsider, 0, .awaited(.seconds(1)))
        guard case .cannotTell(let reason) = seen.judgement else {
            Issue.record("\(seen)")
            return
        }
        #expect(reason.contains("no packet of 10.9.0.2") && seen.client == nil)
        #expect(try !table.nft("list", "tables").contains("verify"))
    }
}
