import ModelKernel
import ModelSupport
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Rules of other programs, and what cannot be evaluated.
@Suite struct EvaluatorTests {
    private let table = Ruleset.TableID(.inet, "other")
    private let packet = Packet(
        from: ip("192.0.2.7"),
        40_000,
        to: ip("198.51.100.1"),
        443,
        .tcp,
        by: "eth0"
    )
    private let delivered = Outcome.delivered(
        ip("198.51.100.1"),
        port: 443,
        isMasqueraded: false,
        hook: .forward
    )

    private func outcomes(
        _ rules: [[KernelExpression]],
        _ base: Ruleset.Base = .init(.filter, .forward, 0),
        _ prepare: (inout MemoryKernel) throws -> Void = { _ in }
    ) throws -> [Possibility] {
        var kernel = MemoryKernel()
        try kernel.addTable(table)
        try kernel.addChain("chain", base: base, to: table)
        try prepare(&kernel)
        for rule in rules { try kernel.addRule(rule, to: "chain", of: table) }
        let routing = Routing(
            addressType: { _ in .unicast },
            way: { _ in .forward(interface: "eth1") }
        )
        return Evaluator(kernel.ruleset, routing: routing).possibilities(of: packet)
    }

    private let port = KernelExpression.payload(.transport, offset: 2, length: 2, register: 1)
    private let drop = KernelExpression.verdict(.drop, nil)

    @Test func `ports are compared, ordered and looked for in ranges`() throws {
        let https: [UInt8] = [1, 187]
        for (match, isHeld) in [
            (KernelExpression.compare(.equal, register: 1, https), true),
            (.compare(.less, register: 1, https), false),
            (.compare(.greaterOrEqual, register: 1, https), true),
            (.range(negated: false, register: 1, from: [0, 1], to: https), true),
            (.range(negated: true, register: 1, from: [0, 1], to: https), false),
        ] {
            let possibilities = try outcomes([[port, match, drop]])
            #expect(possibilities.map(\.outcome) == [isHeld ? .dropped : delivered])
            #expect(possibilities[0].isCertain && possibilities[0].weight == .one)
        }
    }

    @Test func `what cannot be evaluated may happen, and is named`() throws {
        let possibilities = try outcomes([[.unknownMatch("xt match recent"), drop]])
        #expect(Set(possibilities.map(\.outcome)) == [.dropped, delivered])
        #expect(possibilities.allSatisfy { $0.doubts.map(\.reason) == ["xt match recent"] })
        #expect(possibilities[0].doubts[0].rule?.chain == "chain")
    }

    @Test func `a doubt that changes nothing is none`() throws {
        let doubtful = KernelExpression.unknownMatch("xt match comment")
        for rules in [
            [[doubtful, .counter]], [[doubtful, .verdict(.accept, nil)]],
            // Of 2 to the 40th ways none differs from the others.
            [[KernelExpression]](repeating: [doubtful, .setMeta(.trace, register: 1)], count: 40),
        ] {
            let possibilities = try outcomes(rules)
            #expect(possibilities.map(\.outcome) == [delivered])
            #expect(possibilities[0].isCertain)
        }
    }

    @Test func `an unknown action may do anything`() throws {
        let possibilities = try outcomes([[.unknownAction("xt target TEE")]])
        #expect(Set(possibilities.map(\.outcome)) == [.undecided, delivered])
        #expect(possibilities.filter(\.isCertain).isEmpty)
    }

    @Test func `chance has exact shares`() throws {
        let draw = KernelExpression.random(modulus: 3, offset: 0, register: 1)
        let zero = KernelExpression.compare(.equal, register: 1, [0, 0, 0, 0])
        let possibilities = try outcomes([[draw, zero, drop], [draw, zero, drop]])
        let shares = Dictionary(
            uniqueKeysWithValues: possibilities.map { ($0.outcome, $0.weight) }
        )
        #expect(shares == [.dropped: Fraction(5, 9), delivered: Fraction(4, 9)])
    }

    @Test func `a policy, a missing entry and a route that is not known are told`() throws {
        var base = Ruleset.Base(.filter, .forward, 0)
        base.isDropping = true
        let dropped = try outcomes([], base)
        #expect(dropped.map(\.outcome) == [.dropped] && dropped[0].rules.last?.handle == nil)
        // Before conntrack has seen a packet it is of no connection.
        let state: [KernelExpression] = [
            .connection(.state, of: nil, register: 1), .compare(.equal, register: 1, [1, 0, 0, 0]),
            drop,
        ]
        let later = try outcomes([state])
        #expect(later.map(\.outcome) == [delivered])
        let raw = try outcomes([state], Ruleset.Base(.filter, .prerouting, -300))
        #expect(raw.map(\.outcome) == [.dropped])
    }

    @Test func `who registered last is asked first, and the first translation wins`() throws {
        let possibilities = try outcomes(
            [[.immediate([10, 0, 0, 1], register: 1), dnat]],
            .init(.nat, .prerouting, -100)
        ) { kernel in
            try kernel.addChain("later", base: .init(.nat, .prerouting, -100), to: table)
            let rule = [KernelExpression.immediate([10, 0, 0, 2], register: 1), dnat]
            try kernel.addRule(rule, to: "later", of: table)
        }
        let second = Outcome.delivered(
            ip("10.0.0.2"),
            port: 443,
            isMasqueraded: false,
            hook: .forward
        )
        #expect(possibilities.map(\.outcome) == [second])
    }

    private let dnat = KernelExpression.translate(
        .init(.destination, family: 2, address: 1, ports: .init(flags: 1))
    )

    @Test func `a client is remembered, and goes where it went`() throws {
        let key = FrontendKey(ip("10.0.0.1"), .tcp, 80)
        let frontend = Frontend(
            key: key,
            kind: .clusterIP,
            portName: "",
            action: .balance(pool: 0),
            masquerade: .nonPods,
            affinityTimeout: 60
        )
        let endpoints = (1...3).map { Endpoint(ip("10.2.0.\($0)"), 80, isLocal: false) }
        let plan = ServicePlan(
            service: "test/web",
            frontends: [frontend],
            pools: [Pool(endpoints)]
        )
        let (state, changes) = TableState.adopting(
            .unusable,
            [plan],
            TableInputs(),
            .ipv4
        )
        var kernel = MemoryKernel()
        try kernel.commit([TableTransaction(program: state.program, changes: changes)])
        let routing = Routing(
            addressType: { _ in .unicast },
            way: { _ in .forward(interface: "eth1") }
        )
        let first = Packet(from: ip("10.3.0.1"), 1, to: key.address, 80, .tcp, by: "eth0")
        let before = Evaluator(kernel.ruleset, routing: routing).possibilities(of: first)
        #expect(before.count == 3)
        let chosen = try #require(before.last)
        kernel.remember(chosen.writes)
        let after = Evaluator(kernel.ruleset, routing: routing).possibilities(of: first)
        #expect(after.map(\.outcome) == [chosen.outcome] && after[0].weight == .one)
        for write in chosen.writes {
            let affinity = Ruleset.TableID(.ipv4)
            try kernel.setElement(write.key, nil, in: write.set, of: affinity)
        }
        let again = Evaluator(kernel.ruleset, routing: routing).possibilities(of: first)
        #expect(again.count == 3)
    }
}
