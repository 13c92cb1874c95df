import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct ChangesetPartsTests {
    private let facts = TableInputs(NodeFacts(serviceCIDRs: [prefix("10.96.0.0/12")]))

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `changes in parts lead where they lead at once`(seed: UInt64) throws {
        var random = RandomPlans(seed: seed)
        var state = ToldTable(.ipv4)
        var (whole, inParts) = (FakeTable(), FakeTable())
        for round in 0..<10 {
            let plans = random.cluster(10).map { (service: $0.service, plan: Optional($0)) }
            let isRemoval = round % 4 == 3
            let changes = state.apply(
                isRemoval ? plans.map { ($0.service, nil) } : plans,
                node: facts
            )
            try whole.commit(changes, program: state.program)
            for part in changes.parts(ofAtMost: 7, state.program) {
                try inParts.commit(part, program: state.program)
            }
            #expect(inParts.contents.elements == whole.contents.elements)
        }
    }

    /// Returns the view of a new connection for each frontend.
    private func views(_ table: FakeTable, _ sizes: [UInt32]) -> [ElementBytes: View] {
        let flags: [SetID] = [
            .frontends, .localPolicy, .sticky, .stickyTimeouts, .masqueradeFrontends, .noEndpoints,
            .noLocalEndpoints, .restricted,
        ]
        var views: [ElementBytes: View] = [:]
        for flag in flags {
            for element in table.contents.elements[flag]?.all ?? [] {
                views[element.key, default: View()].flags.insert(flag)
            }
        }
        for (set, pools) in [
            (SetID.endpoints, \View.endpoints), (.localEndpoints, \.localEndpoints),
        ] {
            let elements = table.contents.elements[set] ?? ElementTable()
            for frontend in views.keys {
                for size in sizes {
                    let slots = (0..<size).compactMap { index in
                        var key = frontend
                        key.append(hostOrder: PoolLayout.firstSlot(size) + index)
                        return elements[key]
                    }
                    if slots.count == size { views[frontend]?[keyPath: pools].insert(size) }
                    if !slots.isEmpty { views[frontend]?.hasSome.insert(set) }
                }
            }
        }
        return views
    }

    private struct View {
        var flags: Set<SetID> = []
        var endpoints: Set<UInt32> = []
        var localEndpoints: Set<UInt32> = []
        var hasSome: Set<SetID> = []
    }

    @Test(arguments: 0..<8 as Range<UInt64>, [1, 3, 10])
    func `no packet meets half a frontend between parts`(seed: UInt64, count: Int) throws {
        var random = RandomPlans(seed: 500 + seed)
        var state = ToldTable(.ipv4)
        var table = FakeTable()
        let sizes = Array(1...6 as ClosedRange<UInt32>)
        for _ in 0..<8 {
            let plans = random.cluster(8).map { plan in
                var plan = plan
                plan.pools = plan.pools.map { Pool(Array($0.endpoints.prefix(6))) }
                let isGone = Int.random(in: 0..<4, using: &random.random) == 0
                return (service: plan.service, plan: isGone ? nil : plan)
            }
            let before = views(table, sizes)
            let changes = state.apply(plans, node: facts)
            let parts = changes.parts(ofAtMost: count, state.program)
            var after = table
            try after.commit(changes, program: state.program)
            let wanted = views(after, sizes)
            for part in parts {
                try table.commit(part, program: state.program)
                for (frontend, view) in views(table, sizes) {
                    #expect(
                        view.flags == before[frontend]?.flags
                            || view.flags == wanted[frontend]?.flags
                    )
                    guard view.flags.contains(.frontends) else { continue }
                    // A translated connection finds an endpoint, and a refused one finds none.
                    if view.flags.contains(.noEndpoints) {
                        #expect(view.hasSome.isEmpty)
                    } else if !view.flags.contains(.noLocalEndpoints) {
                        #expect(!view.endpoints.isEmpty)
                    }
                    if view.flags.contains(.localPolicy) {
                        let hasAll = !view.localEndpoints.isEmpty
                        #expect(hasAll == view.hasSome.contains(.localEndpoints))
                    }
                }
            }
            #expect(table.contents.elements == after.contents.elements)
        }
    }

    @Test func `parts are as small as asked for where that is possible`() {
        let plan = { (ranges: Int) in
            ServicePlan(
                service: "a",
                frontends: (0..<3).map { port in
                    Frontend(
                        key: FrontendKey(ip("203.0.113.1"), .tcp, 80 + port),
                        kind: .loadBalancerVIP,
                        portName: "",
                        action: .balance(pool: 0),
                        masquerade: .everyone,
                        allowedSources: (0..<ranges).compactMap {
                            IPPrefix(IPAddress(ipv4: UInt32($0) << 8), length: 24)
                        }
                    )
                },
                pools: [
                    Pool((1...200).map { Endpoint(ip("10.0.0.\($0)"), 80, isLocal: false) })
                ]
            )
        }
        var state = ToldTable(.ipv4)
        for ranges in [300, 500, 2, 300] {
            let changes = state.apply([("a", plan(ranges))], node: facts)
            for part in changes.parts(ofAtMost: 100, state.program) {
                #expect(part.addedCount + part.removedCount <= 100)
            }
        }
        let removal = state.apply([("a", nil)], node: facts).parts(ofAtMost: 100, state.program)
        #expect(removal.count > 30)
        for part in removal { #expect(part.addedCount + part.removedCount <= 100) }
    }
}
