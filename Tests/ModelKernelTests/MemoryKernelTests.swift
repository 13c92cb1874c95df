import ModelKernel
import ModelSupport
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct MemoryKernelTests {
    private let table = Ruleset.TableID(.ipv4)
    private let program = Program(.ipv4)
    private let key = ElementBytes(FrontendKey(ip("10.96.0.1"), .tcp, 80))

    private func started() throws -> MemoryKernel {
        var kernel = MemoryKernel()
        var changes = Changeset()
        changes.createsTable = true
        try kernel.commit([TableTransaction(program: program, changes: changes)])
        return kernel
    }

    private func adding(_ set: SetID, _ element: Element) -> Changeset {
        var changes = Changeset()
        changes.add(set, element)
        return changes
    }

    private func refusal(_ kernel: inout MemoryKernel, _ changes: Changeset) -> Refusal.Code? {
        let before = kernel.generation
        do {
            try kernel.commit([TableTransaction(program: program, changes: changes)])
            return nil
        } catch {
            #expect(kernel.generation == before)
            return error.code
        }
    }

    @Test(arguments: 0..<24 as Range<UInt64>)
    func `what was committed is read back, whatever came before`(seed: UInt64) throws {
        let detection = RandomCluster.detections[Int(seed / 2) % 4]
        let cluster = try RandomCluster(seed: seed, detection)
        let contents = cluster.kernel.contents(
            of: cluster.family,
            Program.Variant(cluster.inputs, cluster.family)
        )
        let (_, changes) = TableState.adopting(
            contents,
            Array(cluster.plans.values),
            cluster.inputs,
            cluster.family
        )
        #expect(changes.isEmpty && !contents.isUnusable && contents.damagedChains.isEmpty)
    }

    @Test func `a flushed chain is repaired, and nothing else`() throws {
        var cluster = try RandomCluster(seed: 4, .podCIDRs)
        let variant = Program.Variant(cluster.inputs, .ipv4)
        for chain in [Chain.Name.pick, .services, .dnatPrerouting, .noService] {
            try cluster.kernel.flushChain(chain.text, of: table)
            let contents = cluster.kernel.contents(of: .ipv4, variant)
            let (state, changes) = TableState.adopting(
                contents,
                Array(cluster.plans.values),
                cluster.inputs,
                .ipv4
            )
            #expect(Array(changes.chains.keys) == [chain])
            let before = cluster.kernel.ruleset.tables[table]?.chains[chain.text]?.rules.count
            try cluster.kernel.commit([TableTransaction(program: state.program, changes: changes)])
            let after = cluster.kernel.ruleset.tables[table]?.chains[chain.text]?.rules.count
            #expect(before == 0 && after == state.program.chain(chain)?.rules.count)
        }
        try cluster.kernel.deleteTable(table)
        #expect(cluster.kernel.contents(of: .ipv4, variant).isUnusable)
    }

    @Test func `a transaction is refused whole, for the kernel's reasons`() throws {
        var kernel = try started()
        let data = ElementBytes(ip("10.0.0.1"), port: 80)
        let element = Element(key: key, data: data)
        #expect(refusal(&kernel, adding(.endpoints, element)) == nil)
        #expect(refusal(&kernel, adding(.endpoints, element)) == nil)
        var other = element
        other.data = ElementBytes(ip("10.0.0.2"), port: 80)
        var half = adding(.frontends, Element(key: key))
        half.add(.endpoints, other)
        #expect(refusal(&kernel, half) == .exists)
        #expect(kernel.ruleset.tables[table]?.sets["frontends"]?.elements.isEmpty == true)
        var removal = Changeset()
        removal.remove(.sticky, Element(key: key))
        #expect(refusal(&kernel, removal) == .missing)
        var timeout = ElementBytes()
        timeout.append(hostOrder: 60)
        let verdict = Element(key: key, data: timeout)
        #expect(refusal(&kernel, adding(.stickyTimeouts, verdict)) == .missing)
        var chains = Changeset()
        chains.chains[.pick] = .delete
        #expect(refusal(&kernel, chains) == .busy)
        chains.chains = [.pick: .append([Rule(.jump(.rememberFor(seconds: 9)))])]
        #expect(refusal(&kernel, chains) == .missing)
        chains.chains = [:]
        chains.removedSets = [.frontends]
        #expect(refusal(&kernel, chains) == .busy)
        try kernel.tamper(with: table) { $0.sets["sticky"]?.shape.size = 1 }
        let full = (1...2).map { ElementBytes(FrontendKey(ip("10.96.0.2"), .udp, $0)) }
        var two = adding(.sticky, Element(key: full[0]))
        two.add(.sticky, Element(key: full[1]))
        #expect(refusal(&kernel, two) == .full)
    }

    @Test func `a commit that was computed for another generation is stale`() throws {
        var kernel = try started()
        let known = kernel.generation
        try kernel.addTable(Ruleset.TableID(.inet, "other"))
        #expect(throws: Refusal.self) {
            try kernel.commit(
                [
                    TableTransaction(
                        program: program,
                        changes: adding(.sticky, Element(key: key))
                    )
                ],
                expecting: known
            )
        }
        try kernel.commit(
            [TableTransaction(program: program, changes: Changeset())],
            expecting: kernel.generation
        )
    }

    @Test func `others' changes are told, unless that is lost`() throws {
        var kernel = try started()
        _ = kernel.takeNotifications()
        try kernel.addTable(Ruleset.TableID(.ip, "other"))
        try kernel.flushChain("pick", of: table)
        let start = kernel.generation - 2
        #expect(
            kernel.takeNotifications() == [
                .change(generation: start + 1, isInOurTables: false, isOurs: false),
                .change(generation: start + 2, isInOurTables: true, isOurs: false),
            ]
        )
        try kernel.flushChain("pick", of: table)
        kernel.loseNotifications()
        #expect(kernel.takeNotifications() == [.lost])
    }

    @Test func `commits fail on request`() throws {
        var kernel = try started()
        kernel.failNext(2, with: .noBufferSpace)
        let changes = adding(.sticky, Element(key: key))
        #expect(refusal(&kernel, changes) == .noBufferSpace)
        #expect(refusal(&kernel, changes) == .noBufferSpace)
        #expect(refusal(&kernel, changes) == nil)
    }
}
