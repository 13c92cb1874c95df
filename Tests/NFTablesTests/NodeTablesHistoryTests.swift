import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Commits, failures, and what other programs do, in any order.
@Suite struct NodeTablesHistoryTests {
    private let inputs = TableInputs(NodeFacts(serviceCIDRs: [prefix("10.96.0.0/12")]))

    @Test(arguments: 0..<12 as Range<UInt64>)
    func `whatever happens, tables that nobody suspects are what the plans say`(seed: UInt64) throws
    {
        var random = RandomPlans(seed: seed)
        // The generation passes its largest value during the history.
        let kernel = MemoryKernel(generation: .max - 15)
        var tables = NodeTables(IPFamily.allCases, kernel)
        var plans = Dictionary(uniqueKeysWithValues: random.cluster(5).map { ($0.service, $0) })
        _ = try tables.adopt(Array(plans.values), inputs)
        var isUntold = false
        for _ in 0..<20 {
            isUntold = disturb(kernel, &random.random) || isUntold
            let attempts = kernel.attempts
            let index = Int.random(in: 0..<5, using: &random.random)
            let service = "test/service-\(index)"
            let new = Bool.random(using: &random.random) ? random.plan(index) : nil
            let change = PlanChange(service, old: plans[service], new: new)
            plans[service] = new
            do {
                _ = try tables.commit([change], inputs)
            } catch {
                #expect(tables.tables.isEmpty)
                kernel.failures = []
                _ = try tables.adopt(Array(plans.values), inputs)
                #expect(!tables.generations.isTampered)
            }
            tables.generations.take(kernel.news())
            if tables.generations.isTampered {
                // A failure waits as long as nothing is sent.
                kernel.failures = []
                _ = try tables.adopt(Array(plans.values), inputs)
            }
            // What nobody tells of is found by the next commit that is sent.
            isUntold = isUntold && kernel.attempts == attempts
            guard !isUntold else { continue }
            let difference = try tables.difference(Array(plans.values), inputs)
            #expect(
                difference.allSatisfy { $0.changes.isEmpty },
                "\(difference.map(\.differences))"
            )
            for family in IPFamily.allCases {
                let counts = kernel.elements(family).mapValues(\.count)
                let known = tables.tables[family]?.elementCounts.filter { $0.value > 0 }
                #expect(known == counts)
            }
        }
    }

    /// Returns whether something has happened that nobody tells of.
    private func disturb(_ kernel: MemoryKernel, _ random: inout Seeded) -> Bool {
        let family = IPFamily.allCases.randomElement(using: &random) ?? .ipv4
        switch Int.random(in: 0..<10, using: &random) {
        case 0: kernel.foreignCommit(waits: Int.random(in: 0...3, using: &random))
        case 1: kernel.takeOut(.endpoints, family)
        case 2: kernel.takeOut(.frontends, family)
        case 3:
            kernel.takeOut(.serviceEndpoints, family, waits: nil)
            return true
        case 4: kernel.deleteTable(family)
        case 5: kernel.failures = [.refused(.init("no memory"))]
        case 6: kernel.room = 5000
        case 7:
            kernel.beforeCommit = [
                { kernel.foreignCommit() }, { kernel.takeOut(.endpoints, family) },
            ]
        default: break
        }
        return false
    }
}

@Suite struct GenerationLedgerTests {
    private func news(_ generations: UInt32..., touchesTables: Bool = false) -> RulesetNews {
        var news = RulesetNews()
        news.generations = generations
        news.touchesTables = touchesTables
        return news
    }

    @Test func `queued notifications of older generations do not lead back`() {
        var ledger = GenerationLedger()
        ledger.take(news(10, 12))
        ledger.take(news(9, 11))
        #expect(ledger.known == 12)
    }

    @Test func `generations go on behind the largest number`() {
        var ledger = GenerationLedger()
        // Numbers are compared by their distance, so one step may be half of all at most.
        ledger.take(news(0x7FFF_FFFF))
        ledger.take(news(0xFFFF_FFFE))
        ledger.take(news(0xFFFF_FFFF, 1, 2))
        #expect(ledger.known == 2)
        ledger.take(news(0xFFFF_FFFF))
        #expect(ledger.known == 2)
    }

    @Test func `one touch of our tables is remembered through harmless news`() {
        var ledger = GenerationLedger()
        ledger.take(news(3, touchesTables: true))
        ledger.take(news(4))
        #expect(ledger.isTampered && ledger.known == 4)
    }
}
