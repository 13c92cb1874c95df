import Backend
import NFTables
import NetworkTypes
import ServicePlan
import Synchronization
import TestSupport
import Testing

@Suite struct LargeTransactionTests {
    private let inputs = TableInputs(NodeFacts(serviceCIDRs: [prefix("10.96.0.0/12")]))
    private let kernel = MemoryKernel()

    /// Ports of 600 endpoints each, which have 8192 slots each.
    private func plan(ports: Int) -> ServicePlan {
        plan("large", at: ip("10.96.0.1"), ports: ports, endpoints: 600)
    }

    /// A Service of a number, with as many endpoints.
    private func small(_ number: UInt32, _ endpoints: UInt32) -> ServicePlan {
        let address = IPAddress(ipv4: 0x0A61_0000 + number)
        return plan("\(number)", at: address, ports: 1, endpoints: endpoints)
    }

    private func plan(
        _ name: String,
        at address: IPAddress,
        ports: Int,
        endpoints: UInt32
    ) -> ServicePlan {
        ServicePlan(
            service: "test/\(name)",
            frontends: (0..<ports).map { port in
                Frontend(
                    key: FrontendKey(address, .tcp, UInt16(80 + port)),
                    kind: .clusterIP,
                    portName: "p\(port)",
                    action: .balance(pool: 0),
                    masquerade: .nonPods
                )
            },
            pools: [
                Pool(
                    (0..<endpoints).map {
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

    @Test func `new tables are filled in the order of the plans, a part at a time`() throws {
        var tables = NodeTables(IPFamily.allCases, kernel)
        let plans = (1...2000).map { small($0, 5) } + [plan(ports: 2)]
        let report = try tables.adopt(plans, inputs).report
        let counts = counts()
        #expect(counts.count > 5 && counts.allSatisfy { $0 <= 5000 }, "\(counts)")
        #expect(report.elementsAdded == counts.reduce(0, +))
        // The rules come with the first Services, and whole Services after them, in their order.
        #expect(kernel.commits[0].allSatisfy { $0.changes.createsTable })
        let frontends = kernel.commits.map { transactions in
            transactions.flatMap { $0.changes.added[.frontends] ?? [] }.count
        }
        #expect(frontends.reduce(0, +) == 2002 && frontends.prefix(2).allSatisfy { $0 > 200 })
        let first = kernel.commits[0][0].changes
        #expect(first.added[.endpoints]?.count == 5 * frontends[0])
        #expect(
            first.added[.frontends]?.contains { $0.key == ElementBytes(plans[0].frontends[0].key) }
                == true
        )
        try expectRight(tables, plans)
    }

    @Test func `the first plans are in the kernel before the rest is asked for`() throws {
        var tables = NodeTables(IPFamily.allCases, kernel)
        let (first, second) = (small(1, 5), small(2, 5))
        // The rest may change a first plan, as a rival's claim does.
        let changed = ServicePlan(service: first.service, frontends: [], pools: [])
        let counts = Mutex<[Int]>([])
        let supply = PlanSupply(
            first: [first],
            rest: {
                #expect(counts.withLock { $0 } == [1])
                return [
                    PlanChange(first.service, old: first, new: changed),
                    PlanChange(second.service, old: nil, new: second),
                ]
            },
            all: { [changed, second] },
            programmed: { count in counts.withLock { $0.append(count) } }
        )
        _ = try tables.adopt(supply, inputs)
        #expect(kernel.commits.count == 2 && counts.withLock { $0 } == [1, 2])
        try expectRight(tables, [changed, second])
        // Tables that hold something are compared with everything.
        var others = NodeTables(IPFamily.allCases, kernel)
        #expect(try others.adopt(PlanSupply([changed, second]), inputs).report.isEmpty)
    }

    @Test func `a table that replaces one is one transaction, however large`() throws {
        var tables = NodeTables([.ipv4], kernel)
        _ = try tables.adopt([small(1, 5)], inputs)
        #expect(counts().count == 1)
        kernel.damage(.ipv4)
        _ = try tables.adopt([plan(ports: 2)], inputs)
        #expect(counts().count == 2 && counts()[1] > 10_000)
        try expectRight(tables, [plan(ports: 2)])
    }

    @Test func `a start that fails halfway is taken up where it was`() throws {
        var tables = NodeTables([.ipv4], kernel)
        let plans = (1...2000).map { small($0, 5) }
        kernel.failures = [nil, nil, .refused(.init("no"))]
        #expect(throws: TableFault.self) { try tables.adopt(plans, inputs) }
        let count = counts().reduce(0, +)
        #expect(count > 1000 && count <= 10_000)
        let report = try tables.adopt(plans, inputs).report
        #expect(report.elementsAdded == counts().reduce(0, +) - count)
        #expect(counts().allSatisfy { $0 <= 10_000 })
        try expectRight(tables, plans)
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
