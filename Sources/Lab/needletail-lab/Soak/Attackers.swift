internal import EmbeddedAPIServer
internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes
internal import Synchronization

/// All attackers of a node, which act at the same time.
final class Attackers: Sendable {
    private let node: SoakNode
    private let chosen: Set<String>
    private let tenant: HostileTenant
    private let repeaters = Mutex<[Repeater]>([])

    init(_ node: SoakNode, _ chosen: Set<String>, seed: UInt64) {
        (self.node, self.chosen) = (node, chosen)
        tenant = HostileTenant(node.server, seed: seed)
    }

    /// The number of objects that the tenant wrote.
    var objects: Int { tenant.written }

    func start() {
        let node = node
        var started: [Repeater] = []
        if chosen.contains("tenant") {
            started.append(Repeater(every: .milliseconds(20)) { [tenant] in tenant.act() })
            // Compaction keeps this machine from running out of memory; it makes every watch start
            // again.
            started.append(Repeater(every: .seconds(30)) { node.server.compact() })
        }
        if chosen.contains("health") {
            for _ in 0..<2 {
                started.append(Repeater(every: .microseconds(500)) { Self.knock(node) })
            }
        }
        if chosen.contains("clients") {
            let clients = SpoofedClients()
            started.append(Repeater(every: .microseconds(500)) { clients.send(from: node) })
        }
        if chosen.contains("writer") {
            started.append(Repeater(every: .seconds(5)) { Self.meddle(node) })
        }
        repeaters.withLock { $0 = started }
    }

    func stop() {
        for repeater in repeaters.withLock({ $0 }) { repeater.stop() }
    }

    /// Connects to the health port and sends nothing.
    private static func knock(_ node: SoakNode) {
        guard let descriptor = try? node.socket(SOCK_STREAM),
            let address = IPAddress(SoakNode.address)
        else { return }
        _ = SocketAddress(address, 10256).with { connect(descriptor, $0, $1) }
        close(descriptor)
    }

    /// Changes the ruleset as another program might: adds its own tables, and damages ours.
    private static func meddle(_ node: SoakNode) {
        let ours = [
            "flush chain ip needletail pick", "flush set ip needletail frontends",
            "delete table ip6 needletail", "flush chain ip needletail masquerading",
        ]
        let script = """
            add table ip soak
            add chain ip soak forward { type filter hook forward priority 0; }
            add rule ip soak forward counter
            \(ours.randomElement() ?? "")
            delete table ip soak

            """
        _ = try? node.namespace.run(["nft", "-f", "-"], input: script)
    }
}

/// Sends datagrams to a Service with affinity, each from another client address.
private final class SpoofedClients: Sendable {
    private let count = Mutex(UInt32(0))

    func send(from node: SoakNode) {
        let client = count.withLock { count in
            count = (count + 1) & 0xFFFF
            return IPAddress(ipv4: 0x0A63_0000 + count)
        }
        guard let descriptor = try? node.socket(SOCK_DGRAM),
            let target = IPAddress(HostileTenant.stickyIP)
        else { return }
        defer { close(descriptor) }
        _ = SocketAddress(client, 0).with { bind(descriptor, $0, $1) }
        _ = SocketAddress(target, 53).with { connect(descriptor, $0, $1) }
        _ = Glibc.send(descriptor, "?", 1, Int32(MSG_NOSIGNAL))
    }
}

/// Makes an API server fail in all the ways that the embedded one can.
struct HostileServer {
    private let server: APIServer
    private var generator: SplitMix

    init(_ server: APIServer, seed: UInt64) {
        self.server = server
        generator = SplitMix(seed: seed ^ 0x5EED)
    }

    /// Breaks requests for a while, then lets the server recover.
    mutating func strike(for duration: Duration) {
        let end = ContinuousClock.now + duration
        while .now < end {
            let kind = Fault.Kind.allCases.randomElement(using: &generator) ?? .drop
            server.inject(
                Fault(
                    kind,
                    count: Int.random(in: 1...4, using: &generator),
                    afterEvents: Int.random(in: 0...3, using: &generator),
                    code: [403, 410, 429, 500, 503].randomElement(using: &generator) ?? 503,
                    retryAfter: Int.random(in: 0...2, using: &generator)
                )
            )
            if Int.random(in: 0..<4, using: &generator) == 0 { server.compact() }
            usleep(200_000)
        }
        server.clearFaults()
    }
}

/// Random numbers that can be repeated with the same seed.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
