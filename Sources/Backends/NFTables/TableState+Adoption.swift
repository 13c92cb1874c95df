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
    package var elements: [SetID: [ElementBytes: Element]] = [:]
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
        _ contents: TableContents,
        _ plans: [ServicePlan],
        _ inputs: TableInputs,
        _ family: IPFamily,
        besideOthers: Bool = false
    ) -> (state: TableState, changes: Changeset) {
        var state = TableState(family, inputs.role)
        state.inputs = inputs
        state.usage = RuleNumberUsage(contents.numbers, areInUse: besideOthers)
        var reconciliation = Reconciliation(
            contents.isUnusable ? [:] : contents.elements,
            family,
            inputs.role
        )
        for plan in plans {
            let laidOut = reconciliation.layOut(plan)
            laidOut.forEachElement { reconciliation.want($0, $1) }
            laidOut.forEachSharedElement { shared in
                state.sharedUsers[shared, default: 0] += 1
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
        if !contents.isUnusable { state.elementCounts = contents.elements.mapValues(\.count) }
        state.count(changes)
        return (state, changes)
    }
}

/// A comparison, element by element, of what a table should hold with what it holds.
private struct Reconciliation {
    private var unclaimed: [SetID: [ElementBytes: Element]]
    private var layouts: [SetID: [ElementBytes: [(slot: UInt32, Endpoint)]]] = [:]
    private var changes = Changeset()
    private let family: IPFamily
    private let role: TableRole

    init(
        _ elements: [SetID: [ElementBytes: Element]],
        _ family: IPFamily,
        _ role: TableRole
    ) {
        self.role = role
        unclaimed = elements
        self.family = family
        for map in [SetID.endpoints, .localEndpoints] {
            layouts[map] = Self.layouts(elements[map] ?? [:], family)
        }
    }

    /// Returns the slots of each frontend in the kernel, by the frontend's key.
    private static func layouts(
        _ elements: [ElementBytes: Element],
        _ family: IPFamily
    ) -> [ElementBytes: [(slot: UInt32, Endpoint)]] {
        var layouts: [ElementBytes: [(slot: UInt32, Endpoint)]] = [:]
        for element in elements.values {
            var key = ElementReader(element.key)
            var data = element.data.map(ElementReader.init)
            guard let frontend = key.frontendKey(family), let slot = key.hostOrderWord(),
                let address = data?.address(family), let port = data?.port()
            else { continue }
            layouts[ElementBytes(frontend), default: []].append(
                (slot, Endpoint(address, port, isLocal: false))
            )
        }
        return layouts
    }

    func layOut(_ plan: ServicePlan) -> LaidOutPlan {
        LaidOutPlan(plan, role, family) { layout(of: $0, in: $1) }
    }

    /// Returns the layout that a frontend has in the kernel; nil if slots are missing.
    private func layout(of frontend: Frontend, in map: SetID) -> PoolLayout? {
        guard let slots = layouts[map]?[ElementBytes(frontend.key)],
            slots.count <= PoolLayout.largestSize
        else { return nil }
        let sorted = slots.sorted { $0.slot < $1.slot }
        let first = PoolLayout.firstSlot(UInt32(sorted.count))
        let isWhole = sorted.enumerated().allSatisfy { $1.slot == first + UInt32($0) }
        return isWhole ? PoolLayout(placed: sorted.map(\.1)) : nil
    }

    mutating func want(_ set: SetID, _ element: Element) {
        if unclaimed[set]?[element.key] == element {
            unclaimed[set]?[element.key] = nil
        } else {
            changes.add(set, element)
        }
    }

    /// Adds the changes, including the removal of all elements that were not wanted.
    func finish(_ changes: inout Changeset) {
        changes.added = self.changes.added
        for (set, elements) in unclaimed where !changes.removedSets.contains(set) {
            for element in elements.values { changes.remove(set, element) }
        }
    }
}
