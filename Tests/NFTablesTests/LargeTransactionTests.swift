import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct LargeTransactionTests {
    private let inputs = TableInputs(NodeFacts(serviceCIDRs: [prefix("10.96.0.0/12")]))
    private let kernel = MemoryKernel()

    /// Ports of 600 endpoints each, which have 8192 slots each.
    private func plan(ports: Int) -> ServicePlan {
        ServicePlan(
            service: "test/large",
            frontends: (0..<ports).map { port in
                Frontend(
                    key: FrontendKey(ip("10.96.0.1"), .tcp, UInt16(80 + port)),
                    kind: .clusterIP,
                    portName: "p\(port)",
                    action: .balance(pool: 0),
                    masquerade: .nonPods
                )
            },
            pools: [
                Pool(
                    (0..<600).map {
                        Endpoint(IPAddress(ipv4: 0x0A00_0000 + $0), 8080, isLocal: false)
                    }
                )
            ]
        )
    }

    private func counts() -> [Int] {
        kernel.commits.map { transactions in
            transactions.reduce(0) { $0 + $1.changes.addedCount + $1.changes.removedCount }
        }
    }

    private func expectRight(_ tables: NodeTables, _ plans: [ServicePlan]) throws {
        let difference = try tables.difference(plans, inputs)
        #expect(difference.allSatisfy { $0.changes.isEmpty })
    }

    @Test func `many changes are several transactions, of which none is long`() throws {
        var tables = NodeTables([.ipv4], kernel)
        _ = try tables.adopt([], inputs)
        let plan = plan(ports: 2)
        let report = try tables.commit(
            [PlanChange(plan.service, old: nil, new: plan)],
            inputs
        )
        let parts = counts().dropFirst()
        #expect(parts.count > 2)
        #expect(parts.allSatisfy { $0 <= 5000 })
        // Slots and flags of two frontends, a cluster IP and the endpoints.
        #expect(report.elementsAdded == 2 * (8192 + 1) + 1 + 600)
        // The kernel of these tests counts elements for bytes.
        #expect(report.bytes == parts.reduce(0, +))
        try expectRight(tables, [plan])
    }

    @Test func `a table that is made anew is one transaction, however large`() throws {
        var tables = NodeTables([.ipv4], kernel)
        _ = try tables.adopt([plan(ports: 2)], inputs)
        #expect(counts().count == 1 && counts()[0] > 10_000)
    }

    @Test func `a kernel without room gets parts that fit any socket's buffer`() throws {
        kernel.room = 1000
        var tables = NodeTables(IPFamily.allCases, kernel)
        let plan = plan(ports: 1)
        _ = try tables.adopt([plan], inputs)
        // The first part of each table makes it, and no other does.
        for family in IPFamily.allCases {
            let parts = kernel.commits.compactMap { $0.first { $0.program.family == family } }
            #expect(
                parts.map(\.changes.createsTable) == [true] + parts.dropFirst().map { _ in false }
            )
        }
        #expect(kernel.hasTable(.ipv4) && kernel.hasTable(.ipv6))
        try expectRight(tables, [plan])
        let report = try tables.commit([PlanChange(plan.service, old: plan, new: nil)], inputs)
        #expect(report.elementsRemoved == 8192 + 1 + 1 + 600)
        try expectRight(tables, [])
    }

    @Test func `a part that is refused leaves what adopting repairs`() throws {
        var tables = NodeTables([.ipv4], kernel)
        _ = try tables.adopt([], inputs)
        let plan = plan(ports: 2)
        kernel.failures = [nil, nil, .refused(.init("no memory"))]
        #expect(throws: TableFault.self) {
            _ = try tables.commit([PlanChange(plan.service, old: nil, new: plan)], inputs)
        }
        #expect(kernel.commits.count == 3 && tables.tables.isEmpty)
        _ = try tables.adopt([plan], inputs)
        try expectRight(tables, [plan])
    }

    @Test func `a part that does not fit either is a failure`() throws {
        var tables = NodeTables([.ipv4], kernel)
        kernel.room = 10
        let fault = #expect(throws: TableFault.self) {
            _ = try tables.adopt([plan(ports: 1)], inputs)
        }
        guard case .tooLarge = fault else {
            Issue.record("\(String(describing: fault))")
            return
        }
    }
}
