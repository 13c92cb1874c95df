import Backend
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct NodeTablesTests {
    private let inputs = TableInputs(NodeFacts(serviceCIDRs: [prefix("10.96.0.0/12")]))
    private let kernel = MemoryKernel()

    private func plan(
        _ service: String,
        _ address: String = "10.96.0.1",
        endpoints: [String] = ["10.0.0.1", "10.0.0.2"],
        change: (inout Frontend) -> Void = { _ in }
    ) -> ServicePlan {
        var frontend = Frontend(
            key: FrontendKey(ip(address), .tcp, 80),
            kind: .clusterIP,
            portName: "http",
            action: .balance(pool: 0),
            masquerade: .nonPods
        )
        change(&frontend)
        let pool = Pool(endpoints.map { Endpoint(ip($0), 8080, isLocal: false) })
        return ServicePlan(service: service, frontends: [frontend], pools: [pool])
    }

    private func tables() -> NodeTables { NodeTables(IPFamily.allCases, kernel) }

    private func adopted(_ plans: [ServicePlan]) throws -> NodeTables {
        var tables = tables()
        _ = try tables.adopt(plans, inputs)
        return tables
    }

    private func isRight(_ tables: NodeTables, _ plans: [ServicePlan]) throws -> Bool {
        try tables.difference(plans, inputs).allSatisfy { $0.changes.isEmpty }
    }

    // MARK: Adopting

    @Test func `a node without tables gets both of them in one transaction`() throws {
        var tables = tables()
        let (report, former) = try tables.adopt([plan("a")], inputs)
        #expect(kernel.commits.count == 1)
        #expect(kernel.commits.first?.map(\.changes.createsTable) == [true, true])
        // A table each; a frontend, its cluster IP, two slots, two endpoints, the Services' block.
        #expect(report.objectsChanged == 2 && report.elementsAdded == 7)
        #expect(report.elementsRemoved == 0 && report.bytes == 7)
        #expect(former.all.isEmpty)
        #expect(Set(tables.tables.keys) == Set(IPFamily.allCases))
        #expect(try isRight(tables, [plan("a")]))
    }

    @Test func `a restart sends nothing, and knows what was there`() throws {
        let sticky = plan("a") { $0.affinityTimeout = 60 }
        let external = plan("b", "203.0.113.1") {
            ($0.kind, $0.action) = (.externalIP, .split(cluster: 0, local: nil))
            $0.masquerade = .node
        }
        _ = try adopted([sticky, external])
        var tables = tables()
        let (report, former) = try tables.adopt([sticky, external], inputs)
        #expect(report.isEmpty && kernel.commits.count == 1)
        #expect(former.all == Set([sticky, external].flatMap(\.frontends).map(\.key)))
        #expect(former.sticky == Set(sticky.frontends.map(\.key)))
        #expect(former.localPolicy == Set(external.frontends.map(\.key)))
    }

    @Test func `what somebody changes between reading and committing is read again`() throws {
        _ = try adopted([plan("a")])
        let (kernel, before) = (kernel, kernel.readings)
        kernel.afterReading = [{ kernel.takeOut(.clusterIPs, .ipv4) }]
        var tables = tables()
        let plans = [plan("a"), plan("b", "10.96.0.2")]
        _ = try tables.adopt(plans, inputs)
        #expect(kernel.readings - before == 4)
        #expect(try isRight(tables, plans))
        #expect(!tables.generations.isTampered)
    }

    @Test func `a transaction elsewhere between reading and committing costs no reading`() throws {
        let kernel = kernel
        kernel.afterReading = [{ kernel.foreignCommit() }, { kernel.foreignCommit() }]
        let tables = try adopted([plan("a")])
        #expect(kernel.readings == 2 && kernel.attempts == 2)
        #expect(try isRight(tables, [plan("a")]))
    }

    @Test func `adopting gives up on a program that changes the tables every time`() throws {
        _ = try adopted([plan("a")])
        let kernel = kernel
        kernel.afterReading = (0..<20).map { _ in { kernel.foreignCommit(touchesTables: true) } }
        var tables = tables()
        let fault = #expect(throws: TableFault.self) {
            _ = try tables.adopt([plan("a"), plan("b", "10.96.0.2")], inputs)
        }
        guard case .refused(let refusal) = fault else {
            Issue.record("\(String(describing: fault))")
            return
        }
        #expect(refusal.text == "another program keeps changing the tables")
        #expect(tables.tables.isEmpty)
        kernel.afterReading = []
        _ = try tables.adopt([plan("a")], inputs)
        #expect(try isRight(tables, [plan("a")]))
    }

    @Test func `asking for the difference touches nothing and tells what adopting sends`() throws {
        _ = try adopted([plan("a")])
        let plans = [plan("a", endpoints: ["10.0.0.1", "10.0.0.3"]), plan("b", "10.96.0.2")]
        var tables = tables()
        let difference = try tables.difference(plans, inputs)
        #expect(kernel.commits.count == 1 && tables.tables.isEmpty)
        _ = try tables.adopt(plans, inputs)
        let sent = kernel.commits.last ?? []
        #expect(difference.map { Set($0.differences) } == sent.map { Set($0.differences) })
        #expect(!difference.flatMap(\.differences).isEmpty)
    }

    // MARK: Committing

    @Test func `what others did before anything was adopted is no damage`() throws {
        var tables = NodeTables(IPFamily.allCases, kernel)
        kernel.foreignCommit(touchesTables: true)
        tables.generations.take(kernel.news())
        #expect(!tables.isTampered)
        _ = try tables.adopt([], inputs)
        #expect(!tables.isTampered)
        kernel.deleteTable(.ipv4)
        tables.generations.take(kernel.news())
        #expect(tables.isTampered)
    }

    @Test func `a commit before anything was adopted is refused without asking the kernel`() {
        var tables = tables()
        let fault = #expect(throws: TableFault.self) { _ = try tables.commit([], inputs) }
        guard case .tampered = fault else {
            Issue.record("\(String(describing: fault))")
            return
        }
        #expect(kernel.attempts == 0)
    }

    @Test func `a commit that changes nothing sends nothing`() throws {
        var tables = try adopted([plan("a")])
        let report = try tables.commit([PlanChange("a", old: plan("a"), new: plan("a"))], inputs)
        #expect(report.isEmpty && kernel.attempts == 1)
    }

    @Test func `foreign transactions elsewhere cost one more attempt and no reading`() throws {
        var tables = try adopted([plan("a")])
        let readings = kernel.readings
        for _ in 0..<5 { kernel.foreignCommit() }
        _ = try tables.commit([PlanChange("b", old: nil, new: plan("b", "10.96.0.2"))], inputs)
        #expect(kernel.readings == readings && kernel.attempts == 3 && kernel.waits == 0)
        #expect(!tables.generations.isTampered)
        #expect(try isRight(tables, [plan("a"), plan("b", "10.96.0.2")]))
        let touches = [0, 1].map { _ in tables.generations.takeForwardingTouch() }
        #expect(touches == [true, false])
    }

    @Test func `a notification that comes late is waited for`() throws {
        var tables = try adopted([plan("a")])
        kernel.foreignCommit(waits: 3)
        _ = try tables.commit([PlanChange("a", old: plan("a"), new: nil)], inputs)
        #expect(kernel.waits == 3)
        #expect(!tables.generations.isTampered)
    }

    @Test func `a notification that never comes makes the tables suspect`() throws {
        var tables = try adopted([plan("a")])
        kernel.takeOut(.endpoints, .ipv4, waits: nil)
        _ = try tables.commit([PlanChange("b", old: nil, new: plan("b", "10.96.0.2"))], inputs)
        #expect(tables.generations.isTampered)
        _ = try tables.adopt([plan("a"), plan("b", "10.96.0.2")], inputs)
        #expect(!tables.generations.isTampered)
        #expect(try isRight(tables, [plan("a"), plan("b", "10.96.0.2")]))
    }

    @Test func `a change of what somebody took out says that the tables were changed`() throws {
        var tables = try adopted([plan("a")])
        kernel.takeOut(.clusterIPs, .ipv4)
        let fault = #expect(throws: TableFault.self) {
            _ = try tables.commit([PlanChange("a", old: plan("a"), new: nil)], inputs)
        }
        guard case .tampered = fault else {
            Issue.record("\(String(describing: fault))")
            return
        }
        #expect(tables.tables.isEmpty)
        _ = try tables.adopt([], inputs)
        #expect(kernel.elements(.ipv4)[.frontends] == nil)
    }

    @Test func `a kernel that refuses leaves nothing remembered, and its words are passed on`()
        throws
    {
        var tables = try adopted([plan("a")])
        kernel.failures = [.refused(.init("no memory", isPrivilege: true))]
        let change = PlanChange("b", old: nil, new: plan("b", "10.96.0.2"))
        let fault = #expect(throws: TableFault.self) { _ = try tables.commit([change], inputs) }
        guard case .refused(let refusal) = fault else {
            Issue.record("\(String(describing: fault))")
            return
        }
        #expect(refusal == .init("no memory", isPrivilege: true))
        #expect(tables.tables.isEmpty)
        let attempts = kernel.attempts
        #expect(throws: TableFault.self) { _ = try tables.commit([change], inputs) }
        #expect(kernel.attempts == attempts)
        _ = try tables.adopt([plan("a"), plan("b", "10.96.0.2")], inputs)
        #expect(try isRight(tables, [plan("a"), plan("b", "10.96.0.2")]))
    }

    @Test func `a ruleset that changes before every attempt is given up`() throws {
        var tables = try adopted([])
        let (kernel, before) = (kernel, kernel.attempts)
        kernel.beforeCommit = (0..<100).map { _ in { kernel.foreignCommit() } }
        let fault = #expect(throws: TableFault.self) {
            _ = try tables.commit([PlanChange("a", old: nil, new: plan("a"))], inputs)
        }
        guard case .refused(let refusal) = fault else {
            Issue.record("\(String(describing: fault))")
            return
        }
        #expect(refusal.text.contains("faster than it can be read"))
        #expect(kernel.attempts - before == 20)
        // Those that were not reached hold the kernel that holds them.
        kernel.beforeCommit = []
    }

    @Test func `a table that was deleted is made anew with everything`() throws {
        var tables = try adopted([plan("a")])
        kernel.deleteTable(.ipv4)
        #expect(throws: TableFault.self) {
            _ = try tables.commit([PlanChange("b", old: nil, new: plan("b", "10.96.0.2"))], inputs)
        }
        let plans = [plan("a"), plan("b", "10.96.0.2")]
        _ = try tables.adopt(plans, inputs)
        #expect(kernel.commits.last?.map(\.changes.createsTable) == [true, false])
        #expect(try isRight(tables, plans))
    }

    @Test func `what others did behind our commit makes the tables suspect`() throws {
        var tables = try adopted([plan("a")])
        let before = tables.generations.takeForwardingTouch()
        kernel.missesOthers = true
        _ = try tables.commit([PlanChange("a", old: plan("a"), new: nil)], inputs)
        let after = tables.generations.takeForwardingTouch()
        #expect(tables.generations.isTampered && !before && after)
    }

    @Test func `a commit of ours that told of no generation is not taken for somebody else's`()
        throws
    {
        var tables = try adopted([plan("a")])
        // Of our own commits there are no notifications.
        kernel.foreignCommit(waits: nil)
        try tables.committedBlindly()
        let attempts = kernel.attempts
        _ = try tables.commit([PlanChange("a", old: plan("a"), new: nil)], inputs)
        #expect(kernel.attempts - attempts == 1 && !tables.generations.isTampered)
    }
}
