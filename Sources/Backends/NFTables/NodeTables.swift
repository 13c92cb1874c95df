package import Backend
package import NetworkTypes
package import ServicePlan

/// The tables of a node, one for each IP family, and the commits that change them.
///
/// The kernel is the only record of the past: `adopt` reads the tables back and sends only the
/// differences.
package struct NodeTables {
    package let families: [IPFamily]
    package let kernel: any TableKernel
    /// The state of each table; empty before the kernel was first read, and after a failure.
    package private(set) var tables: [IPFamily: TableState] = [:]
    package var generations = GenerationLedger()

    /// Whether other programs have changed the tables since they were read.
    ///
    /// Tables that were never read can take no damage: a standby sees the last commits of the process
    /// whose place it takes.
    package var isTampered: Bool { !tables.isEmpty && generations.isTampered }

    package init(_ families: [IPFamily], _ kernel: any TableKernel) {
        (self.families, self.kernel) = (families, kernel)
    }

    /// Makes the tables hold what these plans say, all of which are known.
    package mutating func adopt(
        _ plans: [ServicePlan],
        _ inputs: TableInputs
    ) throws(TableFault) -> (report: CommitReport, former: FormerFrontends) {
        try adopt(PlanSupply(plans), inputs)
    }

    /// Makes the tables hold what these plans say.
    ///
    /// New tables that replace nothing are filled in several transactions, in the order of the plans.
    ///
    /// - Returns: the report, and the frontends that the tables had before
    package mutating func adopt(
        _ supply: PlanSupply,
        _ inputs: TableInputs
    ) throws(TableFault) -> (report: CommitReport, former: FormerFrontends) {
        tables = [:]
        var former = FormerFrontends()
        // Another program may commit between this reading and this commit; then the kernel refuses
        // it.
        for _ in 0..<5 {
            generations.restart(at: try kernel.generation(), kernel)
            var found: [IPFamily: TableContents] = [:]
            for family in families {
                let contents = try kernel.contents(family, Program.Variant(inputs, family))
                former.add(contents, family)
                found[family] = contents
            }
            let isNew = found.values.allSatisfy(\.isMissing)
            // A table and what fits beside it are one transaction.
            let head = isNew ? supply.first.fitting(Self.partSize) : supply.all()
            guard var report = try adopt(head, inputs, &found) else { continue }
            supply.programmed(head.count)
            if isNew { report.add(try fill(supply, after: head.count, inputs)) }
            return (report, former)
        }
        throw .refused(.init("another program keeps changing the tables"))
    }

    /// Programs all plans into tables that have only so many of the first, in transactions of a
    /// limited size.
    private mutating func fill(
        _ supply: PlanSupply,
        after head: Int,
        _ inputs: TableInputs
    ) throws(TableFault) -> CommitReport {
        var report = CommitReport()
        var count = head
        let first = supply.first.dropFirst(head).map {
            PlanChange($0.service, old: nil, new: $0)
        }
        for changes in [{ first }, supply.rest] {
            for portion in changes().portions(ofAtMost: Self.partSize) {
                report.add(try commit(Array(portion), inputs))
                for change in portion {
                    count += (change.new == nil ? 0 : 1) - (change.old == nil ? 0 : 1)
                }
                supply.programmed(count)
            }
        }
        return report
    }

    /// - Returns: nil if the tables are no longer as they were found
    private mutating func adopt(
        _ plans: [ServicePlan],
        _ inputs: TableInputs,
        _ found: inout [IPFamily: TableContents]
    ) throws(TableFault) -> CommitReport? {
        var read: [IPFamily: TableState] = [:]
        var changes: [TableTransaction] = []
        for family in families {
            // Nothing else holds the contents now, so they are not copied.
            let contents = found.removeValue(forKey: family) ?? .missing
            let (state, change) = TableState.adopting(contents, plans, inputs, family)
            read[family] = state
            changes.append(TableTransaction(program: state.program, changes: change))
        }
        guard let report = try send(changes, isStrict: true) else { return nil }
        tables = read
        return report
    }

    /// Programs the changes since the last `adopt` or `commit`.
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
            // The tables may have been damaged before this commit, so an object may be missing.
            throw generations.isTampered ? .tampered : error
        }
    }

    /// Returns what `adopt` would change, without changing anything.
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

    /// Takes note of a commit of this program that did not name a generation.
    package mutating func committedBlindly() throws(TableFault) {
        try generations.committedBlindly(kernel)
    }

    // MARK: Sending

    /// The number of elements above which changes are sent in parts.
    ///
    /// A transaction holds the kernel's lock for about 3 µs per element, and meanwhile no other
    /// program can change any table. If any process in any network namespace of the host listens to
    /// nf_tables, the kernel also holds a notification of 4 kB for each element until the end
    /// (`nf_tables_api.c: nf_tables_setelem_notify`).
    private static let largeCount = 10_000
    private static let partSize = 5000
    /// A number of elements that fits the socket's buffer on any kernel (200 kB).
    private static let smallPartSize = 1000

    /// Sends the changes in one transaction, or in several if they are very many or the kernel has
    /// no room for them.
    ///
    /// A new table is first tried in one transaction, since it may replace an old one.
    ///
    /// - Parameter isStrict: whether to give up if another program has changed the tables
    /// - Returns: nil if `isStrict` and the tables are no longer those that the changes were
    ///   computed
    /// from
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
    /// Counts the changes of a table; each set and chain counts as one object, and so does a new
    /// table.
    fileprivate mutating func count(_ changes: Changeset) {
        elementsAdded += changes.addedCount
        elementsRemoved += changes.removedCount
        objectsChanged +=
            (changes.createsTable ? 1 : 0) + changes.addedSets.count + changes.removedSets.count
            + changes.chains.count
    }
}

extension [PlanChange] {
    /// Splits the changes, in their order, so that the elements of each portion are about so many.
    ///
    /// A larger plan is a portion of its own.
    fileprivate func portions(ofAtMost count: Int) -> [ArraySlice<PlanChange>] {
        var portions: [ArraySlice<PlanChange>] = []
        var (start, size) = (startIndex, 0)
        for index in indices {
            let more = self[index].new?.elementEstimate ?? 0
            if index > start, size + more > count {
                portions.append(self[start..<index])
                (start, size) = (index, 0)
            }
            size += more
        }
        if start < endIndex { portions.append(self[start...]) }
        return portions
    }
}

extension [ServicePlan] {
    /// Returns the plans from the front whose elements are at most about so many.
    fileprivate func fitting(_ limit: Int) -> [ServicePlan] {
        var size = 0
        return Array(
            prefix { plan in
                size += plan.elementEstimate
                return size <= limit
            }
        )
    }
}

extension ServicePlan {
    /// The elements in all sets of all tables, or a few more.
    fileprivate var elementEstimate: Int {
        frontends.reduce(0) { sum, frontend in
            let pools = pools(of: frontend)
            let slots = (pools.cluster?.endpoints.count ?? 0) + (pools.local?.endpoints.count ?? 0)
            return sum + 3 + slots + (frontend.allowedSources?.count ?? 0)
        } + self.pools.reduce(0) { $0 + 2 * $1.endpoints.count }
    }
}

/// The frontends that the kernel had before `adopt`.
package struct FormerFrontends: Sendable {
    package private(set) var all: Set<FrontendKey> = []
    package private(set) var sticky: Set<FrontendKey> = []
    package private(set) var localPolicy: Set<FrontendKey> = []

    package init() {}

    mutating func add(_ contents: TableContents, _ family: IPFamily) {
        let keys = { (set: SetID) in
            (contents.elements[set]?.all ?? []).compactMap { element in
                var reader = ElementReader(element.key)
                return reader.frontendKey(family)
            }
        }
        all.formUnion(keys(.frontends))
        sticky.formUnion(keys(.sticky))
        localPolicy.formUnion(keys(.localPolicy))
    }
}
