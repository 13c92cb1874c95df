import NFTables
import NetworkTypes

/// The nf_tables of one namespace in memory: generations, notifications and what others do.
///
/// A transaction happens whole or not at all, and raises the generation by one, which is never 0
/// (`net/netfilter/nf_tables_api.c: nft_base_seq`).
final class MemoryKernel: TableKernel {
    private struct Table {
        var fake = FakeTable()
        var program: Program
    }

    private var tables: [IPFamily: Table] = [:]
    private var current: UInt32
    private var told = RulesetNews()
    private var delayed: [(waits: Int, news: RulesetNews)] = []

    /// How many elements fit one transaction.
    var room = Int.max
    /// The next commits fail with these, one after the other; nil: one does not.
    var failures: [TableFault?] = []
    /// What others do before the next commits are looked at, one after the other.
    var beforeCommit: [() -> Void] = []
    /// What others do after the next readings, one after the other.
    var afterReading: [() -> Void] = []
    /// Whether the receipts say that others came behind the commit.
    var missesOthers = false

    private(set) var commits: [[TableTransaction]] = []
    private(set) var attempts = 0
    private(set) var readings = 0
    private(set) var waits = 0

    init(generation: UInt32 = 7) { current = generation }

    func elements(_ family: IPFamily) -> [SetID: ElementTable] {
        tables[family]?.fake.contents.elements ?? [:]
    }

    func hasTable(_ family: IPFamily) -> Bool { tables[family] != nil }

    // MARK: What others do

    /// A transaction of another program.
    ///
    /// - Parameter waits: how often one must wait for its notification; nil: it is lost
    func foreignCommit(touchesTables: Bool = false, waits: Int? = 0) {
        current = next
        var news = RulesetNews()
        news.generations = [current]
        news.touchesTables = touchesTables
        news.touchesForwarding = !touchesTables
        switch waits {
        case 0: tell(news)
        case .some(let waits): delayed.append((waits, news))
        case nil: break
        }
    }

    /// Somebody takes out an element of a set, if there is one.
    func takeOut(_ set: SetID, _ family: IPFamily, waits: Int? = 0) {
        guard let table = tables[family],
            let element = table.fake.contents.elements[set]?.all.min()
        else { return }
        var changes = Changeset()
        changes.removed[set] = [element]
        change(family, changes, table.program)
        foreignCommit(touchesTables: true, waits: waits)
    }

    func damage(_ family: IPFamily) {
        tables[family]?.fake.damage()
        foreignCommit(touchesTables: true)
    }

    func deleteTable(_ family: IPFamily) {
        tables[family] = nil
        foreignCommit(touchesTables: true)
    }

    private func change(_ family: IPFamily, _ changes: Changeset, _ program: Program) {
        do {
            try tables[family]?.fake.commit(changes, program: program)
        } catch {
            preconditionFailure("\(error)")
        }
    }

    private var next: UInt32 { current == .max ? 1 : current + 1 }

    private func tell(_ news: RulesetNews) {
        told.generations += news.generations
        told.touchesTables = told.touchesTables || news.touchesTables
        told.touchesForwarding = told.touchesForwarding || news.touchesForwarding
    }

    // MARK: TableKernel

    func generation() -> UInt32 { current }

    func contents(_ family: IPFamily, _ variant: Program.Variant) -> TableContents {
        readings += 1
        defer { if !afterReading.isEmpty { afterReading.removeFirst()() } }
        return tables[family]?.fake.contents ?? .missing
    }

    func outline(
        _ family: IPFamily,
        _ variant: Program.Variant
    ) throws(TableFault) -> TableContents {
        var contents = contents(family, variant)
        contents.elements = [:]
        return contents
    }

    func find(
        _ keys: Set<ElementBytes>,
        in set: SetDefinition,
        _ family: IPFamily
    ) throws(TableFault) -> ElementTable {
        let elements = elements(family)[set.id] ?? ElementTable()
        return ElementTable(keys.compactMap { elements[$0] })
    }

    func commit(
        _ changes: [TableTransaction],
        at generation: UInt32
    ) throws(TableFault) -> CommitReceipt {
        attempts += 1
        if !beforeCommit.isEmpty { beforeCommit.removeFirst()() }
        guard generation == current else { throw .staleGeneration }
        if !failures.isEmpty, let failure = failures.removeFirst() { throw failure }
        let count = changes.reduce(0) { $0 + $1.changes.addedCount + $1.changes.removedCount }
        guard count <= room else { throw .tooLarge }
        var after = tables
        do {
            for change in changes {
                let family = change.program.family
                var table = after[family] ?? Table(program: change.program)
                guard change.changes.createsTable || after[family] != nil else {
                    throw FakeTable.Refusal(description: "ENOENT: no table")
                }
                try table.fake.commit(change.changes, program: change.program)
                table.program = change.program
                after[family] = table
            }
        } catch {
            throw .refused(.init("\(error)"))
        }
        tables = after
        current = next
        commits.append(changes)
        return CommitReceipt(bytes: count, generation: current, missesOthers: missesOthers)
    }

    func news() -> RulesetNews {
        defer { told = RulesetNews() }
        return told
    }

    func wait(milliseconds: Int32) {
        waits += 1
        delayed = delayed.map { ($0.waits - 1, $0.news) }
        for arrived in delayed where arrived.waits <= 0 { tell(arrived.news) }
        delayed.removeAll { $0.waits <= 0 }
    }
}
