import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct TableStateTests {
    private let facts = NodeFacts(serviceCIDRs: [prefix("10.96.0.0/12")])

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `small changes lead where a fresh start leads, and a restart changes nothing`(seed: UInt64)
        throws
    {
        var random = RandomPlans(seed: seed)
        let family: IPFamily = seed % 2 == 0 ? .ipv4 : .ipv6
        var wanted = Dictionary(uniqueKeysWithValues: random.cluster(12).map { ($0.service, $0) })
        var (state, start) = TableState.adopting(
            .unusable,
            plans: Array(wanted.values),
            node: facts,
            family: family
        )
        var table = FakeTable()
        try table.commit(start, program: state.program)
        for _ in 0..<25 {
            let changes = (0..<Int.random(in: 1...4, using: &random.random)).map { _ in
                let index = Int.random(in: 0..<12, using: &random.random)
                let isGone = Int.random(in: 0..<4, using: &random.random) == 0
                return (service: "test/service-\(index)", plan: isGone ? nil : random.plan(index))
            }
            // One commit names a Service once.
            let unique = Dictionary(
                changes.map { ($0.service, $0.plan) },
                uniquingKeysWith: { _, last in last }
            )
            for (service, plan) in unique { wanted[service] = plan }
            let changeset = state.apply(unique.map { ($0.key, $0.value) }, node: facts)
            try table.commit(changeset, program: state.program)
            let (_, difference) = TableState.adopting(
                table.contents,
                plans: Array(wanted.values),
                node: facts,
                family: family
            )
            #expect(difference.added.isEmpty && difference.removed.isEmpty, "\(difference)")
        }
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `changes in parts lead where they lead at once`(seed: UInt64) throws {
        var random = RandomPlans(seed: seed)
        var state = TableState(.ipv4)
        var (whole, inParts) = (FakeTable(), FakeTable())
        for round in 0..<10 {
            let plans = random.cluster(10).map { (service: $0.service, plan: Optional($0)) }
            let isRemoval = round % 4 == 3
            let changes = state.apply(
                isRemoval ? plans.map { ($0.service, nil) } : plans,
                node: facts
            )
            try whole.commit(changes, program: state.program)
            for part in changes.parts(ofAtMost: 7) {
                #expect(part.addedCount + part.removedCount <= 7)
                try inParts.commit(part, program: state.program)
            }
            #expect(inParts.contents.elements == whole.contents.elements)
        }
    }

    @Test func `an unchanged plan changes nothing`() {
        var random = RandomPlans(seed: 1)
        let plan = random.plan(1)
        var state = TableState(.ipv4)
        _ = state.apply([("a", plan)], node: facts)
        #expect(state.apply([("a", plan)], node: facts).isEmpty)
    }

    @Test func `replacing one endpoint changes its slot and nothing else`() {
        let plan = { (endpoints: [String]) in
            ServicePlan(
                service: "a",
                frontends: [
                    Frontend(
                        key: FrontendKey(ip("10.96.0.1"), .tcp, 80),
                        kind: .clusterIP,
                        portName: "",
                        action: .balance(pool: 0),
                        masquerade: .nonPods
                    )
                ],
                pools: [Pool(endpoints.map { Endpoint(ip($0), 80, isLocal: false) })]
            )
        }
        var state = TableState(.ipv4)
        _ = state.apply([("a", plan(["10.0.0.1", "10.0.0.2", "10.0.0.3"]))], node: facts)
        // The new endpoint sorts first, but the others keep their slots.
        let changes = state.apply([("a", plan(["10.0.0.0", "10.0.0.2", "10.0.0.3"]))], node: facts)
        #expect(changes.removed[.endpoints]?.count == 1)
        #expect(changes.added[.endpoints]?.count == 1)
        // One endpoint, and its predecessor's place among the former ones.
        #expect(changes.removedCount == 2 && changes.addedCount == 3)
        #expect(changes.added[.formerEndpoints] == changes.removed[.serviceEndpoints])
        #expect(state.elementCounts[.formerEndpoints] == nil)
        #expect(changes.chains.isEmpty)
    }

    @Test func `endpoints come and go without verdicts that change`() {
        let plan = { (count: Int) in
            ServicePlan(
                service: "a",
                frontends: [
                    Frontend(
                        key: FrontendKey(ip("10.96.0.1"), .tcp, 80),
                        kind: .clusterIP,
                        portName: "",
                        action: .balance(pool: 0),
                        masquerade: .nonPods,
                        affinityTimeout: 10800
                    )
                ],
                pools: [Pool((1...count).map { Endpoint(ip("10.0.0.\($0)"), 80, isLocal: false) })]
            )
        }
        var state = TableState(.ipv4)
        let start = state.apply([("a", plan(2))], node: facts)
        #expect(start.added[.stickyTimeouts]?.count == 1)
        #expect(start.chains.keys.contains(.rememberFor(seconds: 10800)))
        for count in [3, 1, 2] {
            let changes = state.apply([("a", plan(count))], node: facts)
            #expect(
                changes.added[.stickyTimeouts] == nil && changes.removed[.stickyTimeouts] == nil
            )
        }
    }

    @Test func `an endpoint shared by two Services goes with the last of them`() {
        var random = RandomPlans(seed: 3)
        var plan = random.plan(1)
        while plan.pools.allSatisfy(\.endpoints.isEmpty) { plan = random.plan(1) }
        var other = plan
        other.frontends = other.frontends.map { frontend in
            var copy = frontend
            copy.key = FrontendKey(ip("10.99.0.1"), frontend.key.transport, frontend.key.port)
            copy.kind = .externalIP
            return copy
        }
        var state = TableState(.ipv4)
        _ = state.apply([("a", plan), ("b", other)], node: facts)
        let first = state.apply([("a", nil)], node: facts)
        #expect(first.removed[.serviceEndpoints] == nil && first.removed[.hairpin] == nil)
        #expect(first.added[.formerEndpoints] == nil)
        let second = state.apply([("b", nil)], node: facts)
        #expect(second.removed[.serviceEndpoints]?.isEmpty == false)
    }

    @Test func `what somebody put in or took out is repaired`() throws {
        var random = RandomPlans(seed: 9)
        let plans = random.cluster(6)
        let (state, start) = TableState.adopting(
            .unusable,
            plans: plans,
            node: facts,
            family: .ipv4
        )
        var table = FakeTable()
        try table.commit(start, program: state.program)
        var contents = table.contents
        let lost = try #require(contents.elements[.frontends]?.keys.sorted().first)
        contents.elements[.frontends]?[lost] = nil
        let foreign = Element(key: ElementBytes(FrontendKey(ip("1.2.3.4"), .tcp, 1)))
        contents.elements[.noEndpoints, default: [:]][foreign.key] = foreign
        contents.damagedChains = [.noService]
        let (_, repair) = TableState.adopting(contents, plans: plans, node: facts, family: .ipv4)
        #expect(repair.added.mapValues(\.count) == [.frontends: 1])
        #expect(repair.removed == [.noEndpoints: [foreign]])
        #expect(repair.chains.keys.map(\.self) == [.noService])
    }
}
