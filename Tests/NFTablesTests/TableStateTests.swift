import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct TableStateTests {
    private let facts = TableInputs(NodeFacts(serviceCIDRs: [prefix("10.96.0.0/12")]))

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `small changes lead where a fresh start leads, and a restart changes nothing`(seed: UInt64)
        throws
    {
        var random = RandomPlans(seed: seed)
        let family: IPFamily = seed % 2 == 0 ? .ipv4 : .ipv6
        var wanted = Dictionary(uniqueKeysWithValues: random.cluster(12).map { ($0.service, $0) })
        let (adopted, start) = TableState.adopting(
            .unusable,
            Array(wanted.values),
            facts,
            family
        )
        var state = ToldTable(adopted, Array(wanted.values))
        var table = FakeTable()
        try table.commit(start, program: state.program)
        for _ in 0..<25 {
            let changes = (0..<Int.random(in: 1...4, using: &random.random)).map { _ in
                let index = Int.random(in: 0..<12, using: &random.random)
                let isGone = Int.random(in: 0..<4, using: &random.random) == 0
                return (service: "test/service-\(index)", plan: isGone ? nil : random.plan(index))
            }
            // A commit names each Service once.
            let unique = Dictionary(
                changes.map { ($0.service, $0.plan) },
                uniquingKeysWith: { _, last in last }
            )
            for (service, plan) in unique { wanted[service] = plan }
            let changeset = state.apply(unique.map { ($0.key, $0.value) }, node: facts)
            try table.commit(changeset, program: state.program)
            let (_, difference) = TableState.adopting(
                table.contents,
                Array(wanted.values),
                facts,
                family
            )
            #expect(difference.added.isEmpty && difference.removed.isEmpty, "\(difference)")
        }
    }

    // The kernel sends no ICMP error from an address that is not the node's.
    @Test func `beside another balancer only what it serves is led to it`() {
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
            [plan],
            TableInputs(role: .policy),
            .ipv4
        )
        #expect(
            Set(changes.added[.externalFrontends]?.map(\.key) ?? [])
                == Set([0, 4].map { ElementBytes(frontends[$0].key) })
        )
    }

    @Test func `an unchanged plan changes nothing`() {
        var random = RandomPlans(seed: 1)
        let plan = random.plan(1)
        var state = ToldTable(.ipv4)
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
        var state = ToldTable(.ipv4)
        _ = state.apply([("a", plan(["10.0.0.1", "10.0.0.2", "10.0.0.3"]))], node: facts)
        // The new endpoint sorts first, but the others keep their slots.
        let changes = state.apply([("a", plan(["10.0.0.0", "10.0.0.2", "10.0.0.3"]))], node: facts)
        #expect(changes.removed[.endpoints]?.count == 1)
        #expect(changes.added[.endpoints]?.count == 1)
        // One endpoint is replaced, and the old one becomes a former endpoint.
        #expect(changes.removedCount == 2 && changes.addedCount == 3)
        #expect(changes.added[.formerEndpoints] == changes.removed[.serviceEndpoints])
        #expect(state.state.elementCounts[.formerEndpoints] == nil)
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
        var state = ToldTable(.ipv4)
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

    private func frontend(_ port: UInt16, pool: Int) -> Frontend {
        Frontend(
            key: FrontendKey(ip("10.96.0.1"), .tcp, port),
            kind: .clusterIP,
            portName: "p\(port)",
            action: .balance(pool: pool),
            masquerade: .nonPods
        )
    }

    private func pool(_ hosts: some Sequence<Int>, _ port: UInt16) -> Pool {
        Pool(
            hosts.map {
                Endpoint(
                    IPAddress(ipv4: 0x0A80_0000 + UInt32(truncatingIfNeeded: $0)),
                    port,
                    isLocal: $0 % 7 == 0
                )
            }
        )
    }

    @Test func `pools keep their slots when another comes before them`() {
        var plan = ServicePlan(
            service: "a",
            frontends: [frontend(81, pool: 0), frontend(82, pool: 1)],
            pools: [pool(0..<100, 8081), pool((0..<100).filter { $0 != 7 }, 8082)]
        )
        var state = ToldTable(.ipv4)
        _ = state.apply([("a", plan)], node: facts)
        // The slots of a pool with another history differ from those of a new pool.
        plan.pools[1] = pool(0..<100, 8082)
        _ = state.apply([("a", plan)], node: facts)
        plan.frontends = [frontend(80, pool: 0), frontend(81, pool: 1), frontend(82, pool: 2)]
        plan.pools.insert(pool(0..<3, 8080), at: 0)
        let changes = state.apply([("a", plan)], node: facts)
        #expect(changes.removedCount == 0)
        #expect(changes.added[.endpoints]?.count == 3)
        // Another frontend of the same pool uses the slots that the pool already has.
        plan.frontends.insert(frontend(79, pool: 2), at: 0)
        let more = state.apply([("a", plan)], node: facts)
        #expect(more.removedCount == 0)
        let (_, difference) = TableState.adopting(
            contents(of: state, after: [changes, more]),
            [plan],
            facts,
            .ipv4
        )
        #expect(difference.removed[.endpoints] == nil)
    }

    /// Returns the contents of a table after these changes.
    private func contents(of state: ToldTable, after changes: [Changeset]) -> TableContents {
        var contents = TableContents()
        contents.numbers = state.program.numbers
        for (set, elements) in changes.flatMap(\.added) {
            for element in elements {
                contents.elements[set, default: ElementTable()].insert(element)
            }
        }
        return contents
    }

    @Test func `of many ports with many endpoints only what differs is changed`() {
        let plan = { (hosts: [Int]) in
            ServicePlan(
                service: "a",
                frontends: (0..<20).map { frontend(UInt16(80 + $0), pool: $0) },
                pools: (0..<20).map { pool(hosts, UInt16(8000 + $0)) }
            )
        }
        var state = ToldTable(.ipv4)
        _ = state.apply([("a", plan(Array(0..<600)))], node: facts)
        let hosts = (0..<600).filter { $0 != 70 } + [7000]
        let changes = state.apply([("a", plan(hosts))], node: facts)
        // With 8192 slots for 600 endpoints, each endpoint of each port has 13 or 14.
        let slots = changes.added[.endpoints]?.count ?? 0
        #expect((20 * 13...20 * 14).contains(slots) && changes.removed[.endpoints]?.count == slots)
        #expect(changes.added[.serviceEndpoints]?.count == 20)
        #expect(changes.removed[.serviceEndpoints]?.count == 20)
        // Endpoints 70 and 7000 are local.
        #expect(changes.added[.hairpin]?.count == 1 && changes.removed[.hairpin]?.count == 1)
        #expect(changes.added[.formerEndpoints]?.count == 20)
        #expect(changes.added.count == 4 && changes.removed.count == 3 && changes.chains.isEmpty)
    }

    @Test func `a comment has as many bytes as nft takes, whatever its characters`() {
        let clown = "\u{1F921}"
        let zalgo = "a" + String(repeating: "\u{0301}", count: 100)
        for name in [
            String(repeating: "x", count: 127), String(repeating: "x", count: 128),
            String(repeating: clown, count: 71), "x" + String(repeating: clown, count: 71),
            String(repeating: zalgo, count: 5), String(repeating: "\r\n", count: 90),
        ] {
            let comment = Element(key: ElementBytes(), comment: name).comment ?? ""
            #expect(comment.utf8.count <= 127)
            let text = name.nftQuotable
            #expect(comment == text || comment.hasSuffix("..."))
            #expect(text.utf8.starts(with: comment.utf8.dropLast(comment == text ? 0 : 3)))
        }
        #expect(Element(key: ElementBytes(), comment: "a\u{0}b").comment == "a\\u{0}b")
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
        var state = ToldTable(.ipv4)
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
            plans,
            facts,
            .ipv4
        )
        var table = FakeTable()
        try table.commit(start, program: state.program)
        var contents = table.contents
        let lost = try #require(contents.elements[.frontends]?.all.map(\.key).min())
        contents.elements[.frontends]?.remove(lost)
        let foreign = Element(key: ElementBytes(FrontendKey(ip("1.2.3.4"), .tcp, 1)))
        contents.elements[.noEndpoints, default: ElementTable()].insert(foreign)
        contents.damagedChains = [.noService]
        let (_, repair) = TableState.adopting(contents, plans, facts, .ipv4)
        #expect(repair.added.mapValues(\.count) == [.frontends: 1])
        #expect(repair.removed == [.noEndpoints: [foreign]])
        #expect(repair.chains.keys.map(\.self) == [.noService])
    }
}
