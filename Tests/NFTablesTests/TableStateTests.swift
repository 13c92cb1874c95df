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

    // The kernel sends no ICMP error from an address that is not the node's.
    @Test func `in mode ipvs only what IPVS serves is led to it`() {
        let frontends = [
            (1, Frontend.Action.balance(pool: 0)), (2, .reject), (3, .drop),
            (4, .split(cluster: 0, local: nil)), (5, .split(cluster: 0, local: 0)),
        ].map { port, action in
            Frontend(
                key: FrontendKey(ip("203.0.113.7"), .udp, UInt16(port)),
                kind: port == 1 ? .loadBalancerVIP : .externalIP,
                portName: "",
                action: action,
                masquerade: .everyone
            )
        }
        let plan = ServicePlan(
            service: "shop/web",
            frontends: frontends,
            pools: [Pool([Endpoint(ip("10.244.1.2"), 53, isLocal: true)])]
        )
        let (_, changes) = TableState.adopting(
            .unusable,
            plans: [plan],
            node: NodeFacts(balancer: .ipvs),
            family: .ipv4
        )
        #expect(
            Set(changes.added[.externalFrontends]?.map(\.key) ?? [])
                == Set([0, 4].map { ElementBytes(frontends[$0].key) })
        )
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
        #expect(changes.removedCount == 2 && changes.addedCount == 2)
        #expect(changes.chains.isEmpty)
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
