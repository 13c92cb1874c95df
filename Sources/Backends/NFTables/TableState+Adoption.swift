package import NetworkTypes
package import ServicePlan

/// The contents of a table as a kernel reported them.
package struct TableContents: Sendable {
    /// Whether the table is missing, or its chains or sets are not the program's; then it must be
    /// made anew.
    package var isUnusable = false
    /// Whether nothing is in force that a new table would replace.
    package private(set) var isMissing = false
    /// The elements of each set, except sets in which the kernel adds or forgets elements by
    /// itself.
    ///
    /// For an unusable table, the elements of `SetID.tellingOfFrontends`, if they can be read.
    package var elements: [SetID: ElementTable] = [:]
    /// The numbers in the rules that the kernel holds, in rule order.
    package var numbers = ProgramNumbers()
    /// The chains whose rules are not the program's.
    package var damagedChains: Set<Chain.Name> = []

    package init() {}

    package static var unusable: TableContents {
        var contents = TableContents()
        contents.isUnusable = true
        return contents
    }

    /// Of a table that is not there, or of which the kernel uses nothing.
    package static var missing: TableContents {
        var contents = unusable
        contents.isMissing = true
        return contents
    }
}

extension TableState {
    /// Takes over a table.
    ///
    /// Endpoints keep the slots that they have in the kernel, so a restart changes nothing.
    ///
    /// - Parameter besideOthers: whether other Services need the numbers in the kernel's rules
    /// - Returns: the state in which exactly these plans are in force, and the changes that lead to
    ///   it
    package static func adopting(
        _ contents: consuming TableContents,
        _ plans: [ServicePlan],
        _ inputs: TableInputs,
        _ family: IPFamily,
        besideOthers: Bool = false
    ) -> (state: TableState, changes: Changeset) {
        var state = TableState(family, inputs.role)
        state.inputs = inputs
        state.usage = RuleNumberUsage(contents.numbers, areInUse: besideOthers)
        let elements = contents.isUnusable ? [:] : contents.elements
        // The comparison takes elements out, and would copy what it shares.
        contents.elements = [:]
        state.elementCounts = elements.mapValues(\.count)
        var reconciliation = Reconciliation(elements, family, inputs.role)
        for plan in plans {
            let laidOut = reconciliation.layOut(plan)
            laidOut.forEachElement { reconciliation.want($0, $1) }
            laidOut.forEachSharedElement { shared in
                state.sharedUsers[shared] += 1
                if state.sharedUsers[shared] == 1 {
                    reconciliation.want(shared.set, shared.element)
                }
            }
            laidOut.forEachNumber { state.usage[keyPath: $0].add($1) }
            state.keep(laidOut)
        }
        // The rules for these inputs were compared when the table was read.
        for (set, elements) in state.elements(of: inputs) {
            for element in elements { reconciliation.want(set, element) }
        }
        var changes = Changeset()
        state.settleNumbers(&changes)
        if contents.isUnusable {
            changes = Changeset()
            changes.createsTable = true
        }
        for name in contents.damagedChains {
            changes.chains[name] = .replace(state.program.chain(name)?.rules ?? [])
        }
        reconciliation.finish(&changes)
        state.count(changes)
        return (state, changes)
    }
}

/// A comparison, element by element, of what a table should hold with what it holds.
private struct Reconciliation {
    private var unclaimed: [SetID: ElementTable]
    private var changes = Changeset()
    private let family: IPFamily
    private let role: TableRole

    init(_ elements: consuming [SetID: ElementTable], _ family: IPFamily, _ role: TableRole) {
        unclaimed = elements
        (self.family, self.role) = (family, role)
    }

    func layOut(_ plan: ServicePlan) -> LaidOutPlan {
        LaidOutPlan(plan, role, family) { layout(of: $0, in: $1, size: $2) }
    }

    /// Returns the layout of a number of slots that a frontend has in the kernel; nil if slots are
    /// missing.
    private func layout(of frontend: Frontend, in map: SetID, size: Int) -> PoolLayout? {
        guard let elements = unclaimed[map] else { return nil }
        let key = ElementBytes(frontend.key)
        var placed: [Endpoint] = []
        placed.reserveCapacity(size)
        for slot in 0..<size {
            let data = elements[LaidOutPlan.key(key, UInt32(size), slot)]?.data
            guard var reader = data.map(ElementReader.init),
                let address = reader.address(family), let port = reader.port()
            else { return nil }
            placed.append(Endpoint(address, port, isLocal: false))
        }
        return PoolLayout(placed: placed)
    }

    mutating func want(_ set: SetID, _ element: Element) {
        if unclaimed[set]?.take(element) != true { changes.add(set, element) }
    }

    /// Adds the changes, including the removal of all elements that were not wanted.
    func finish(_ changes: inout Changeset) {
        changes.added = self.changes.added
        for (set, elements) in unclaimed where !changes.removedSets.contains(set) {
            elements.forEach { changes.remove(set, $0) }
        }
    }
}
