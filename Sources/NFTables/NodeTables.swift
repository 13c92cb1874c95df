package import Backend
package import NetworkTypes
package import ServicePlan

/// The tables of a node, one for each family, and how changes get into them.
///
/// The kernel is the record: adopting reads it back and sends only the difference.
package struct NodeTables {
    package let families: [IPFamily]
    package let kernel: any TableKernel
    /// Empty until the kernel was read, and after a failure.
    package private(set) var tables: [IPFamily: TableState] = [:]
    package var generations = GenerationLedger()

    package init(_ families: [IPFamily], _ kernel: any TableKernel) {
        (self.families, self.kernel) = (families, kernel)
    }

    /// Makes the tables what these plans say.
    ///
    /// - Returns: also the frontends that the tables had before
    package mutating func adopt(
        _ plans: [ServicePlan],
        _ inputs: TableInputs
    ) throws(TableFault) -> (report: CommitReport, former: FormerFrontends) {
        tables = [:]
        var former = FormerFrontends()
        // Somebody may write between our reading and our writing; the kernel refuses then.
        for _ in 0..<5 {
            var read: [IPFamily: TableState] = [:]
            generations.restart(at: try kernel.generation(), kernel)
            var changes: [TableTransaction] = []
            for family in families {
                let contents = try kernel.contents(family, Program.Variant(inputs, family))
                former.add(contents, family)
                let (state, change) = TableState.adopting(contents, plans, inputs, family)
                read[family] = state
                changes.append(TableTransaction(program: state.program, changes: change))
            }
            guard let report = try send(changes, isStrict: true) else { continue }
            tables = read
            return (report, former)
        }
        throw .refused(.init("another program keeps changing the tables"))
    }

    /// Programs what has changed since the last commit.
    package mutating func commit(
        _ plans: [PlanChange],
        _ inputs: TableInputs
    ) throws(TableFault) -> CommitReport {
        guard tables.count == families.count else { throw .tampered }
        do throws(TableFault) {
            var changes: [TableTransaction] = []
            for family in families {
                guard let change = tables[family]?.apply(plans, inputs),
                    let program = tables[family]?.program
                else { continue }
                changes.append(TableTransaction(program: program, changes: change))
            }
            guard let report = try send(changes, isStrict: false) else { throw .tampered }
            return report
        } catch {
            tables = [:]
            // Changes are tried on damaged tables as well, and may find that something is missing.
            throw generations.isTampered ? .tampered : error
        }
    }

    /// What `adopt` would change; touches nothing.
    package func difference(
        _ plans: [ServicePlan],
        _ inputs: TableInputs
    ) throws(TableFault) -> [TableTransaction] {
        var result: [TableTransaction] = []
        for family in families {
            let contents = try kernel.contents(family, Program.Variant(inputs, family))
            let (state, changes) = TableState.adopting(contents, plans, inputs, family)
            result.append(TableTransaction(program: state.program, changes: changes))
        }
        return result
    }

    /// What remembers the kernel's state no longer tells the truth.
    package mutating func forget() { tables = [:] }

    /// A commit of ours was taken that told of no generation.
    package mutating func committedBlindly() throws(TableFault) {
        try generations.committedBlindly(kernel)
    }

    // MARK: Sending

    /// The kernel's lock is held for some 3 µs for each element, and nobody else's change comes in
    /// meanwhile, of whatever table.
    private static let largeCount = 10_000
    private static let partSize = 5000
    /// Elements that fit the socket's buffer on any kernel: 200 kB.
    private static let smallPartSize = 1000

    /// Sends the changes as one transaction, or as several if they are very many or this kernel has no
    /// room for them.
    ///
    /// A table is made anew in one, since it may replace another.
    ///
    /// - Returns: nil, if it is strict, when our tables are no longer what the changes were computed
    ///   from
    private mutating func send(
        _ changes: [TableTransaction],
        isStrict: Bool
    ) throws(TableFault) -> CommitReport? {
        let count = changes.reduce(0) { $0 + $1.changes.addedCount + $1.changes.removedCount }
        guard count <= Self.largeCount || changes.contains(where: \.changes.createsTable) else {
            return try sendInParts(changes, ofAtMost: Self.partSize, isStrict)
        }
        do throws(TableFault) {
            return try sendAtOnce(changes, isStrict)
        } catch {
            guard case .tooLarge = error else { throw error }
            return try sendInParts(changes, ofAtMost: Self.smallPartSize, isStrict)
        }
    }

    private mutating func sendInParts(
        _ changes: [TableTransaction],
        ofAtMost count: Int,
        _ isStrict: Bool
    ) throws(TableFault) -> CommitReport? {
        var report = CommitReport()
        for change in changes {
            for part in change.changes.parts(ofAtMost: count, change.program) {
                let transaction = TableTransaction(program: change.program, changes: part)
                guard let sent = try sendAtOnce([transaction], isStrict) else { return nil }
                report.add(sent)
            }
        }
        return report
    }

    private mutating func sendAtOnce(
        _ changes: [TableTransaction],
        _ isStrict: Bool
    ) throws(TableFault) -> CommitReport? {
        var report = CommitReport()
        for change in changes { report.count(change.changes) }
        guard !report.isEmpty else { return report }
        for _ in 0..<20 {
            do throws(TableFault) {
                let receipt = try kernel.commit(changes, at: generations.known)
                generations.committed(receipt)
                report.bytes = receipt.bytes
                return report
            } catch {
                guard case .staleGeneration = error else { throw error }
                try generations.catchUp(kernel)
                guard !isStrict || !generations.isTampered else { return nil }
            }
        }
        throw .refused(.init("other programs change the ruleset faster than it can be read"))
    }
}

extension CommitReport {
    /// Sets and rules that change are objects; a new table is one.
    fileprivate mutating func count(_ changes: Changeset) {
        elementsAdded += changes.addedCount
        elementsRemoved += changes.removedCount
        objectsChanged +=
            (changes.createsTable ? 1 : 0) + changes.addedSets.count + changes.removedSets.count
            + changes.chains.count
    }
}

/// The frontends that the kernel had before it was told of everything.
package struct FormerFrontends: Sendable {
    package private(set) var all: Set<FrontendKey> = []
    package private(set) var sticky: Set<FrontendKey> = []
    package private(set) var localPolicy: Set<FrontendKey> = []

    /// The sets that tell.
    package static let sets = [SetID.frontends, .sticky, .localPolicy]

    package init() {}

    mutating func add(_ contents: TableContents, _ family: IPFamily) {
        let keys = { (set: SetID) in
            (contents.elements[set] ?? [:]).keys.compactMap { key in
                var reader = ElementReader(key)
                return reader.frontendKey(family)
            }
        }
        all.formUnion(keys(.frontends))
        sticky.formUnion(keys(.sticky))
        localPolicy.formUnion(keys(.localPolicy))
    }
}
