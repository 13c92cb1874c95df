import Backend
import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(30))) struct ForeignChangeTests {
    private func start() async throws -> (KernelTable, [ServicePlan]) {
        var random = RandomPlans(seed: 77)
        let table = try KernelTable()
        let plans = random.cluster(8)
        _ = try await table.client.commit(.everything(plans), node: table.node)
        return (table, plans)
    }

    @Test(arguments: [
        "flush ruleset", "delete table ip needletail", "flush set ip needletail frontends",
        "flush chain ip6 needletail services", "add rule ip needletail no-service counter",
        "insert rule ip needletail pick drop", "add chain ip needletail foreign",
        "add element ip needletail cluster-ips { 1.2.3.4 }",
        "delete chain ip needletail filter-input", "add table ip needletail { flags dormant; }",
    ])
    func `what another program does to our tables is noticed and repaired`(command: String)
        async throws
    {
        var (table, plans) = try await start()
        var changes = await table.client.events().filter { $0 == .foreignChange(.table) }
            .makeAsyncIterator()
        try table.namespace.run(["nft", "-f", "-"], input: command + "\n")
        _ = await changes.next()
        // A change is attempted all the same: where the damage is not in its way, it takes effect
        // at once.
        var random = RandomPlans(seed: 80)
        let plan = random.plan(100)
        plans.append(plan)
        do {
            _ = try await table.client.commit(.some([(plan.service, plan)]), node: table.node)
            #expect(try table.nft("list", "ruleset").contains(plan.service))
        } catch let error as CommitError {
            #expect(error.recovery == .rereadKernel)
        }
        _ = try await table.client.commit(.everything(plans), node: table.node)
        try await table.check(plans)
        #expect(try !table.nft("list", "ruleset").contains("foreign"))
    }

    @Test func `other programs' tables are none of our business`() async throws {
        var (table, plans) = try await start()
        var random = RandomPlans(seed: 78)
        for round in 0..<30 {
            try table.namespace.run(
                ["nft", "-f", "-"],
                input: "table ip other { chain c\(round) { counter; }; }\n"
            )
            let plan = random.plan(100 + round)
            plans.append(plan)
            // Nothing needs to be read back: the notifications show that our tables were not
            // touched.
            _ = try await table.client.commit(.some([(plan.service, plan)]), node: table.node)
        }
        try await table.check(plans)
        #expect(try table.nft("list", "table", "ip", "other").components(of: "chain c") == 30)
    }

    @Test func `our own commits are not foreign`() async throws {
        let (table, plans) = try await start()
        let changes = await table.client.events().filter { $0 == .foreignChange(.table) }
        var random = RandomPlans(seed: 79)
        var all = plans
        for round in 0..<20 {
            let plan = random.plan(200 + round)
            all.append(plan)
            _ = try await table.client.commit(.some([(plan.service, plan)]), node: table.node)
        }
        // The next foreign change is the first that the stream reports.
        try table.nft("add", "chain", "ip", "needletail", "foreign")
        var iterator = changes.makeAsyncIterator()
        _ = await iterator.next()
        _ = try await table.client.commit(.everything(all), node: table.node)
        try await table.check(all)
    }

    @Test func `a second needletail's table is taken over`() async throws {
        let (table, plans) = try await start()
        let other = try KernelTable.open(table.namespace)
        let fewer = Array(plans.dropLast())
        let report = try await other.commit(.everything(fewer), node: table.node)
        // The added elements are endpoints that have just become former ones.
        let gone = Set(plans.last?.pools.flatMap(\.endpoints) ?? [])
        #expect(report.elementsAdded <= gone.count && report.elementsRemoved > gone.count)
        #expect(try await table.differences(fewer) == 0)
    }
}
