import Backend
import ModelKernel
import ModelSupport
import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import Netlink
import ServicePlan
import TestSupport
import Testing

/// Tests of the ways of real packets, compared with the evaluator's.
@Suite(.timeLimit(.minutes(30))) struct PacketVerificationTests {
    private let table: KernelTable
    private static let frontend = FrontendKey(ip("10.96.0.1"), .tcp, 80)

    init() throws {
        var table = try KernelTable()
        table.node = TableInputs(
            NodeFacts(
                serviceCIDRs: [prefix("10.96.0.0/12"), prefix("fd00::/64")],
                podCIDRs: [prefix("10.2.0.0/16"), prefix("fd00:0:0:2::/64")],
                localDetection: .podCIDRs
            )
        )
        self.table = table
        try Self.connect(table.namespace)
    }

    /// A node with pods on a bridge, and everything else behind another one.
    private static func connect(_ namespace: NetworkNamespace) throws {
        try namespace.ip([
            "link add cni0 type bridge", "addr add 10.2.0.1/16 dev cni0",
            "addr add fd00:0:0:2::1/64 dev cni0 nodad", "link set cni0 up",
            "link add eth0 type bridge", "addr add 10.9.0.1/24 dev eth0",
            "addr add fd00:0:0:9::1/64 dev eth0 nodad", "link set eth0 up",
            "route add default dev eth0", "route add ::/0 dev eth0",
        ])
        for name in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            try namespace.setSysctl(name, "1")
        }
    }

    private func program(affinity: UInt32? = nil, _ transport: TransportProtocol = .tcp)
        async throws
    {
        let pool = Pool(
            (1...3).map { Endpoint(ip("10.2.0.1\($0)"), 8080, isLocal: true) }
        )
        let frontend = Frontend(
            key: FrontendKey(Self.frontend.address, transport, 80),
            kind: .clusterIP,
            portName: "",
            action: .balance(pool: 0),
            masquerade: .nonPods,
            affinityTimeout: affinity
        )
        let plan = ServicePlan(service: "test/web", frontends: [frontend], pools: [pool])
        _ = try await table.client.commit(.everything([plan]), node: table.node)
    }

    private func verify(
        _ frontend: FrontendKey = Self.frontend,
        from source: IPAddress = ip("10.9.0.1"),
        believing: @escaping (Ruleset) -> Ruleset = { $0 }
    ) throws -> Verification {
        let packet = FirstPacket(from: source, 0, to: frontend, by: nil)
        return try table.namespace.inside {
            PacketVerification(packet, .sent, believing: believing).perform()
        }
    }

    private func tables() throws -> String { try table.nft("list", "tables") }

    // MARK: What agrees

    @Test(arguments: [nil, 60] as [UInt32?])
    func `a healthy Service is seen step by step`(affinity: UInt32?) async throws {
        try await program(affinity: affinity)
        for round in 0..<5 {
            let seen = try verify()
            #expect(seen.judgement == .agrees, "\(seen)")
            guard case .delivered(let endpoint, let source, "cni0") = seen.fate else {
                Issue.record("\(seen)")
                return
            }
            #expect(endpoint.port == 8080 && "\(endpoint)".hasPrefix("10.2.0.1"))
            #expect(source.address == ip("10.2.0.1"))
            #expect(seen.connection == "with \(endpoint), from \(source)")
            let chains = seen.steps.map(\.chain)
            var wanted = ["dnat-output", "services", "pick", "snat-postrouting", "masquerading"]
            // The rules remember the client of the first packet.
            if affinity != nil, round > 0 { wanted.removeAll { $0 == "pick" } }
            #expect(chains.filter(wanted.contains) == wanted)
            #expect(seen.steps.allSatisfy { $0.hook == "output" || $0.hook == "postrouting" })
            let translating = seen.steps.filter { $0.becomes != nil }
            #expect(translating.last?.becomes == "\(source) to \(endpoint)")
        }
        #expect(try !tables().contains("verify"))
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `the node's packets to frontends of all kinds go as the evaluator says`(
        seed: UInt64
    ) async throws {
        let detection: LocalDetection = seed % 4 < 2 ? .podCIDRs : .none
        let cluster = try RandomCluster(seed: 400 + seed, detection, isAlone: true)
        _ = try await table.client.commit(
            .everything(Array(cluster.plans.values)),
            node: cluster.inputs
        )
        var keys = cluster.plans.values.flatMap(\.frontends).map(\.key)
            .filter { $0.transport != .sctp && $0.address.family == cluster.family }.sorted()
        keys += keys.prefix(2).map { FrontendKey($0.address, $0.transport, 999) }
        #expect(keys.count > 4)
        for key in keys {
            let seen = try verify(key, from: cluster.nodeAddress)
            #expect(seen.judgement == .agrees, "\(seen)")
            #expect(seen.fate != .lost && seen.fate != nil, "\(seen)")
        }
    }

    @Test(arguments: [
        "flush chain ip needletail pick", "flush chain ip needletail services",
        "flush chain ip needletail dnat-output", "flush chain ip needletail masquerading",
        "flush map ip needletail endpoints", "insert rule ip needletail filter-output drop",
        "insert rule ip needletail filter-output reject with tcp reset",
        "add element ip needletail no-endpoints { 10.96.0.1 . tcp . 80 }",
        "insert rule ip needletail snat-postrouting accept",
        "add rule ip foreign raw tcp dport 80 drop", "add rule ip foreign raw notrack",
        "add rule ip foreign raw meta mark set 7", "add rule ip foreign last tcp dport 8080 drop",
        "add rule ip foreign nat tcp dport 80 dnat to 10.2.0.99:9090",
        "add rule ip foreign last jump sub; add rule ip foreign sub return;"
            + " add rule ip foreign last meta mark set numgen random mod 3"
            + "; add rule ip foreign last meta mark 2 drop",
        "add rule ip foreign last tcp flags syn / syn,ack goto sub; add rule ip foreign sub counter",
        "add chain ip foreign closed { type filter hook postrouting priority 50; policy drop; }",
        "delete table ip needletail",
    ])
    func `whatever is done to the rules, the packet goes as the evaluator says`(
        script: String
    ) async throws {
        try await program()
        let foreign = """
            add table ip foreign
            add chain ip foreign raw { type filter hook output priority -300; }
            add chain ip foreign nat { type nat hook output priority -120; }
            add chain ip foreign last { type filter hook postrouting priority 200; }
            add chain ip foreign sub
            add rule ip foreign last ct state new counter
            \(script.replacing("; add", with: "\nadd"))

            """
        try table.namespace.run(["nft", "-f", "-"], input: foreign)
        for _ in 0..<3 {
            let seen = try verify()
            #expect(seen.judgement == .agrees, "\(seen)")
            let isStopped = script.contains("drop") && !script.contains("numgen")
            if isStopped { #expect(seen.fate == .dropped, "\(seen)") }
            if script.contains("reject") { #expect(seen.fate == .refused, "\(seen)") }
        }
    }

    @Test func `a packet without a route is not sent, and that agrees`() async throws {
        try await program()
        try table.namespace.ip(["route delete default"])
        let seen = try verify(FrontendKey(ip("203.0.113.9"), .tcp, 80))
        #expect(seen.judgement == .agrees && seen.steps.isEmpty && seen.fate == .lost, "\(seen)")
    }

    @Test func `what IPv6 has is seen, too`() async throws {
        let frontend = FrontendKey(ip("fd00::a"), .udp, 53)
        let plan = ServicePlan(
            service: "test/dns",
            frontends: [
                Frontend(
                    key: frontend,
                    kind: .clusterIP,
                    portName: "",
                    action: .balance(pool: 0),
                    masquerade: .everyone
                )
            ],
            pools: [Pool([Endpoint(ip("fd00:0:0:2::5"), 5353, isLocal: true)])]
        )
        _ = try await table.client.commit(.everything([plan]), node: table.node)
        let seen = try verify(frontend, from: ip("fd00:0:0:9::1"))
        #expect(seen.judgement == .agrees, "\(seen)")
        let endpoint = AddressAndPort(ip("fd00:0:0:2::5"), 5353)
        guard case .delivered(endpoint, _, "cni0") = seen.fate else {
            Issue.record("\(seen)")
            return
        }
    }

    // MARK: What does not

    @Test func `the step at which a wrong evaluation parts is found`() async throws {
        try await program()
        let seen = try verify { ruleset in
            var ruleset = ruleset
            ruleset.tables[Ruleset.TableID(.ipv4)]?.chains["masquerading"]?.rules = []
            return ruleset
        }
        guard case .parts(let count, let expected) = seen.judgement else {
            Issue.record("\(seen)")
            return
        }
        #expect(seen.steps[count].chain == "masquerading" && seen.steps[count].verdict == "accept")
        #expect(expected == ["it passes all rules at hook postrouting"])
    }

    @Test func `a rule that the evaluation invents is named`() async throws {
        try await program()
        let invented = Ruleset.Rule(handle: 9999, [.verdict(.drop, nil)])
        let seen = try verify { ruleset in
            var ruleset = ruleset
            ruleset.tables[Ruleset.TableID(.ipv4)]?.chains["filter-output"]?.rules
                .insert(invented, at: 0)
            return ruleset
        }
        guard case .parts(let count, let expected) = seen.judgement else {
            Issue.record("\(seen)")
            return
        }
        #expect(seen.steps[count].chain == "filter-output")
        #expect(expected.count == 1 && expected[0].contains("handle 9999"))
    }

    @Test func `an evaluation with another endpoint parts where the packet has its own`()
        async throws
    {
        try await program()
        let seen = try verify { ruleset in
            var ruleset = ruleset
            let id = Ruleset.TableID(.ipv4)
            let other = ip("10.2.0.77").networkOrderBytes + [0, 99]
            let rules: [KernelExpression] = [
                .immediate(Array(other.prefix(4)), register: 1),
                .immediate(Array(other.suffix(2)), register: 2),
                .translate(.init(.destination, family: 2, address: 1, ports: .init(2))),
            ]
            let pick = ruleset.tables[id]?.chains["pick"]?.rules ?? []
            ruleset.tables[id]?.chains["pick"]?.rules = pick.map {
                Ruleset.Rule(handle: $0.handle, rules)
            }
            return ruleset
        }
        guard case .parts(let count, let expected) = seen.judgement else {
            Issue.record("\(seen)")
            return
        }
        #expect(seen.steps[count].chain == "filter-output")
        #expect(expected.contains { $0.contains("to 10.2.0.77:99") }, "\(expected)")
    }

    @Test func `what cannot be evaluated is not judged`() async throws {
        try await program()
        try table.nft("add table ip foreign")
        try table.nft("add chain ip foreign x { type nat hook output priority -120; }")
        try table.nft("add rule ip foreign x tcp dport 80 redirect to :9")
        let seen = try verify()
        guard case .cannotTell(let reason) = seen.judgement else {
            Issue.record("\(seen)")
            return
        }
        #expect(reason.contains("chain x"))
        guard case .delivered(AddressAndPort(ip("127.0.0.1"), 9), _, nil) = seen.fate else {
            Issue.record("\(seen)")
            return
        }
    }
}
