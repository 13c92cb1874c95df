import Backend
import ModelKernel
import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import Netlink
import ServicePlan
import TestSupport
import Testing

/// Tests of what packets are said to do by the tables of a real kernel.
@Suite struct PacketEvaluationTests {
    private let table: KernelTable
    private let packet: FirstPacket

    init() throws {
        table = try KernelTable()
        try table.namespace.ip([
            "link add cni0 type bridge", "addr add 10.0.0.1/8 dev cni0", "link set cni0 up",
            "route add default dev cni0",
        ])
        for name in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            try table.namespace.setSysctl(name, "1")
        }
        packet = FirstPacket(
            from: ip("10.1.2.3"),
            50_000,
            to: FrontendKey(ip("10.96.0.1"), .tcp, 80),
            by: "cni0"
        )
    }

    private func evaluate(
        _ servers: VirtualServers? = nil
    ) throws -> (outcomes: [Evaluation.Outcome], doubts: [String], questionCount: Int) {
        try table.namespace.inside {
            var socket = try NetlinkSocket(.netfilter)
            let recorder = RequestRecorder()
            socket.recorder = recorder
            let evaluation = try PacketEvaluation.evaluate([packet], servers, &socket)[0]
            return (evaluation.outcomes, evaluation.doubts, recorder.elementQuestions.count)
        }
    }

    private func plan(_ index: Int, endpoints: Int) -> ServicePlan {
        let pool = Pool(
            (0..<endpoints).map {
                Endpoint(
                    IPAddress(ipv4: 0x0A02_0001 + UInt32(index << 8 + $0)),
                    8080,
                    isLocal: false
                )
            }
        )
        let frontend = Frontend(
            key: FrontendKey(IPAddress(ipv4: 0x0A60_0000 + UInt32(index)), .tcp, 80),
            kind: .clusterIP,
            portName: "",
            action: .balance(pool: 0),
            masquerade: .nonPods
        )
        return ServicePlan(service: "test/\(index)", frontends: [frontend], pools: [pool])
    }

    @Test
    func `few elements are asked for, however many there are, and every endpoint has its share`()
        async throws
    {
        let plans = (1...200).map { plan($0, endpoints: 3) }
        _ = try await table.client.commit(.everything(plans), node: table.node)
        let (outcomes, doubts, questionCount) = try evaluate()
        #expect(outcomes.map(\.share) == ["1/3", "1/3", "1/3"] && doubts.isEmpty)
        #expect(
            Set(outcomes.map(\.fate))
                == Set(
                    (1...3).map {
                        .delivered(
                            to: AddressAndPort(ip("10.2.1.\($0)"), 8080),
                            isMasqueraded: false
                        )
                    }
                )
        )
        #expect(questionCount < 60, "\(questionCount)")
    }

    @Test(arguments: [200, 2000])
    func `neither what a packet meets nor what a Service lacks is found by listing a set`(
        count: Int
    ) async throws {
        let plans = (0..<count).map { plan($0, endpoints: 3) }
        _ = try await table.client.commit(.everything(plans), node: table.node)
        let recorder = RequestRecorder()
        await table.client.record(with: recorder)
        try table.nft("delete element ip needletail frontends { 10.96.0.1 . tcp . 80 }")
        let found = try await table.client.difference(for: [plans[1]], node: table.node)
        #expect(
            found.map(\.description) == [
                "+ ip needletail frontends: 10.96.0.1 . tcp . 80 comment \"test/1\""
            ]
        )
        _ = try await table.client.evaluate([packet])
        let elements = recorder.elementQuestions
        #expect(elements.count > 10 && elements.allSatisfy { !$0.isDump && $0.answerCount <= 1 })
        #expect(elements.count < 80, "\(elements.count)")
        #expect(recorder.requests.reduce(0) { $0 + $1.answerCount } < 400)
    }

    @Test func `ranges of the node are compared one by one`() async throws {
        _ = try await table.client.commit(.everything([plan(1, endpoints: 1)]), node: table.node)
        let differences = {
            try await table.client.difference(for: [plan(1, endpoints: 1)], node: table.node)
                .map(\.description)
        }
        #expect(try await differences() == [])
        try table.nft("delete element ip needletail pod-cidrs { 10.0.0.0/8 }")
        #expect(try await differences() == ["+ ip needletail pod-cidrs: 10.0.0.0/8"])
        for other in ["10.0.0.0/9", "10.0.0.0-10.255.255.254", "9.0.0.0-10.255.255.255"] {
            try table.nft("flush set ip needletail pod-cidrs")
            try table.nft("add element ip needletail pod-cidrs { \(other) }")
            #expect(
                try await differences().contains("+ ip needletail pod-cidrs: 10.0.0.0/8"),
                "\(other)"
            )
        }
        try table.nft("flush set ip needletail pod-cidrs")
        try table.nft("add element ip needletail pod-cidrs { 9.0.0.0/8, 10.0.0.0/8, 12.0.0.0/8 }")
        #expect(try await differences() == [])
    }

    @Test func `elements of all kinds of sets are found as the kernel finds them`() async throws {
        try table.nft("add table ip other")
        try table.nft("add chain ip other x { type filter hook forward priority 0; }")
        for (rule, isDropped) in [
            ("tcp dport { 80, 443 } drop", true), ("tcp dport { 81, 443 } drop", false),
            ("tcp dport != { 81, 443 } drop", true), ("tcp dport { 1-90, 443 } drop", true),
            ("tcp dport { 1-79, 81-443 } drop", false), ("ip saddr { 10.1.0.0/16 } drop", true),
            ("ip saddr { 10.1.2.0-10.1.2.2 } drop", false),
            ("ip saddr . tcp dport { 10.0.0.0/8 . 70-80 } drop", true),
            ("ip saddr . tcp dport { 10.0.0.0/8 . 70-79 } drop", false),
            ("ip saddr . tcp dport vmap { 10.1.2.3 . 80 : drop }", true),
            ("tcp dport vmap { 80 : accept, * : drop }", false),
            ("tcp dport vmap { 81 : accept, * : drop }", true),
            ("iifname { \"cni0\", \"eth*\" } drop", true),
            ("iifname { \"cn*\" } drop", true), ("iifname { \"cnx*\" } drop", false),
            ("meta mark set tcp dport map { 80 : 7 } ip saddr 10.1.2.3 meta mark 7 drop", true),
            ("ip saddr & 255.0.0.0 == 10.0.0.0 drop", true),
            ("tcp dport vmap { 80 : jump sub }", true),
        ] {
            try table.nft("flush table ip other")
            try table.nft("add chain ip other sub")
            try table.nft("add rule ip other sub drop")
            try table.nft("add rule ip other x \(rule)")
            let outcomes = try evaluate().outcomes
            #expect((outcomes.map(\.fate) == [.dropped]) == isDropped, "\(rule): \(outcomes)")
            #expect(outcomes.allSatisfy { $0.doubts.isEmpty }, "\(rule): \(outcomes)")
        }
    }

    @Test func `a virtual server balances what the rules let through, by weight`() throws {
        let server = packet.frontend
        let destinations = [(1, 3), (2, 1), (3, 0)].map {
            WeightedEndpoint(AddressAndPort(ip("10.2.1.\($0)"), 8080), weight: $1)
        }
        let servers: VirtualServers = { packet in
            packet.destination == server.address ? destinations : nil
        }
        try table.namespace.ip(["addr add \(server.address)/32 dev lo"])
        #expect(try evaluate(servers).outcomes.map(\.share) == ["3/4", "1/4"])
        try table.nft("add table ip other")
        try table.nft("add chain ip other x { type filter hook output priority 0; }")
        try table.nft("add rule ip other x ip daddr 10.2.1.2 drop")
        #expect(
            try evaluate(servers).outcomes.map(\.fate) == [
                .delivered(to: AddressAndPort(ip("10.2.1.1"), 8080), isMasqueraded: false),
                .dropped,
            ]
        )
        try table.nft("flush table ip other")
        // An answer that conntrack does not know may not pass.
        try table.nft("add chain ip other y { type filter hook prerouting priority 0; }")
        try table.nft("add rule ip other y ct state invalid drop")
        let untracked: VirtualServers = { packet in
            packet.destination == server.address
                ? [
                    WeightedEndpoint(
                        AddressAndPort(ip("10.2.1.1"), 8080),
                        weight: 1,
                        isUntracked: true
                    )
                ]
                : nil
        }
        #expect(
            try evaluate(untracked).outcomes.map(\.fate) == [
                .lost(after: AddressAndPort(ip("10.2.1.1"), 8080))
            ]
        )
        #expect(
            try evaluate({ _ in nil }).outcomes.map(\.fate) == [
                .delivered(to: AddressAndPort(server.address, 80), isMasqueraded: false)
            ]
        )
        #expect(try evaluate({ _ in [] }).outcomes.map(\.fate) == [.rejected])
    }
}

extension RequestRecorder {
    /// The requests of the type `NFT_MSG_GETSETELEM`.
    fileprivate var elementQuestions: [Request] {
        let subsystem: UInt16 = 10 << 8
        return requests.filter { $0.type == subsystem + 13 }
    }
}
