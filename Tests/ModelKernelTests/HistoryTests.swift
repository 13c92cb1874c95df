import FoundationEssentials
import ModelKernel
import ModelSupport
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Tests of random histories of random clusters: in the end the kernel holds what a fresh start would give.
///
/// There are changes, foreign writers, refused commits, lost notifications and restarts.
@Suite(.timeLimit(.minutes(30))) struct HistoryTests {
    private static let inputs = TableInputs(
        NodeFacts(
            serviceCIDRs: [prefix("10.0.0.0/16"), prefix("fd00::/64")],
            podCIDRs: [prefix("10.2.0.0/16")],
            localDetection: .podCIDRs
        )
    )

    /// One node while it lives: what it was told, and what it knows.
    private struct Node {
        let kernel = ModelTables()
        var tables: NodeTables
        var plans: [String: ServicePlan] = [:]
        /// What the tables were told last; nil: they know nothing.
        var told: [String: ServicePlan]?

        init() { tables = NodeTables(IPFamily.allCases, kernel) }

        mutating func restart() {
            tables = NodeTables(IPFamily.allCases, kernel)
            told = nil
        }

        /// Does what is due, as the reconciler does; a failure makes everything due.
        mutating func sync() {
            tables.generations.take(kernel.news())
            if tables.generations.isTampered { told = nil }
            do throws(TableFault) {
                if let told {
                    let services = Set(told.keys).union(plans.keys)
                    let changes = services.filter { told[$0] != plans[$0] }
                        .map { PlanChange($0, old: told[$0], new: plans[$0]) }
                    _ = try tables.commit(changes, HistoryTests.inputs)
                } else {
                    _ = try tables.adopt(Array(plans.values), HistoryTests.inputs)
                }
                told = plans
            } catch { told = nil }
        }
    }

    /// A plan; most histories have small pools, since each slot is an element.
    private func plan(_ index: Int, _ random: inout RandomPlans, _ seed: UInt64) -> ServicePlan {
        var plan = random.plan(index)
        guard seed % 8 != 0 else { return plan }
        for pool in plan.pools.indices {
            plan.pools[pool].endpoints = Array(plan.pools[pool].endpoints.prefix(5))
        }
        return plan
    }

    /// One step of a history.
    private func step(
        _ node: inout Node,
        _ random: inout RandomPlans,
        _ others: inout ForeignWriter,
        _ seed: UInt64
    ) {
        switch Int.random(in: 0..<12, using: &random.random) {
        case 0..<5:
            for _ in 0..<Int.random(in: 1...2, using: &random.random) {
                let index = Int.random(in: 0..<4, using: &random.random)
                let isGone = Int.random(in: 0..<4, using: &random.random) == 0
                node.plans["test/service-\(index)"] = isGone ? nil : plan(index, &random, seed)
            }
            node.sync()
        case 5..<7: node.kernel.withKernel { others.write(to: &$0) }
        case 7:
            // Somebody writes between reading and committing.
            let other = random.random.next()
            node.kernel.interfere { kernel in
                var writer = ForeignWriter(seed: other)
                writer.write(to: &kernel)
            }
            node.sync()
        case 8:
            let codes: [Refusal.Code] = [.outOfMemory, .busy, .missing, .noBufferSpace, .exists]
            let code = codes.randomElement(using: &random.random) ?? .busy
            node.kernel.withKernel { $0.failNext(1, with: code) }
            node.sync()
        case 9: node.kernel.withKernel { $0.loseNotifications() }
        case 10: node.restart()
        default: node.sync()
        }
    }

    private func run(_ seed: UInt64) {
        var node = Node()
        var random = RandomPlans(seed: seed)
        var others = ForeignWriter(seed: seed &* 31 &+ 7)
        for index in 0..<3 { node.plans["test/service-\(index)"] = plan(index, &random, seed) }
        node.sync()
        for _ in 0..<Int.random(in: 3...8, using: &random.random) {
            step(&node, &random, &others, seed)
        }
        node.kernel.withKernel { $0.failNext(0, with: .busy) }
        node.kernel.interfere { _ in }
        // A commit that was tried and a repair: more is never needed.
        for _ in 0..<3 where node.told != node.plans || node.tables.generations.isTampered {
            node.sync()
        }
        node.sync()
        compare(node, seed)
    }

    private func compare(_ node: Node, _ seed: UInt64) {
        var fresh = Node()
        fresh.plans = node.plans
        fresh.sync()
        let left = (try? node.tables.difference(Array(node.plans.values), Self.inputs)) ?? []
        let isDone = left.count == 2 && left.allSatisfy { $0.changes.isEmpty }
        #expect(isDone, "seed \(seed): \(left.flatMap(\.differences).prefix(5))")
        for family in IPFamily.allCases {
            let contents = { (node: Node) in
                node.kernel.withKernel {
                    $0.contents(of: family, Program.Variant(Self.inputs, family))
                }
            }
            let (real, wanted) = (contents(node), contents(fresh))
            // Sets and rules for numbers that were in use a while ago may stay.
            let others = real.elements.filter { wanted.elements[$0.key] == nil }
            let isClean = others.values.allSatisfy { $0.isEmpty }
            #expect(isClean, "seed \(seed)")
            for (set, elements) in wanted.elements {
                let found = real.elements[set] ?? ElementTable()
                if set == .endpoints || set == .localEndpoints {
                    let areLike = areLike(shares(found), shares(elements))
                    #expect(areLike, "seed \(seed): \(set.name)")
                } else {
                    let isSame = found == elements
                    #expect(isSame, "seed \(seed): \(set.name)")
                }
            }
            #expect(Set(real.numbers.poolSizes).isSuperset(of: wanted.numbers.poolSizes))
        }
    }

    /// How many slots each endpoint of each frontend has; which ones depends on the history.
    private func shares(_ elements: ElementTable) -> [[UInt8]: Int] {
        var shares: [[UInt8]: Int] = [:]
        for element in elements.all {
            let frontend = element.key.bytes.dropLast(4)
            shares[frontend + (element.data?.bytes ?? []), default: 0] += 1
        }
        return shares
    }

    /// Which endpoint of a large pool has one slot more depends on the history as well.
    private func areLike(_ left: [[UInt8]: Int], _ right: [[UInt8]: Int]) -> Bool {
        left.count == right.count && left.allSatisfy { abs($1 - (right[$0] ?? 0)) <= 1 }
    }

    /// Fifty histories for each argument; `make test` asks for 10,000 in all.
    private static let count =
        ProcessInfo.processInfo.environment["NEEDLETAIL_HISTORIES"].flatMap(UInt64.init) ?? 200

    @Test(arguments: 0..<count / 50)
    func `every history ends where a fresh start begins`(fifty: UInt64) {
        for seed in 0..<50 { run(fifty * 50 + UInt64(seed)) }
    }
}
