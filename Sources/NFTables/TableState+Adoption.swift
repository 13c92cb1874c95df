package import NetworkTypes
package import ServicePlan

/// The contents of a table as a kernel reported them.
package struct TableContents: Sendable {
    /// The table is missing, or its sets are not the program's: it must be made anew, whole.
    package var isUnusable = false
    /// Elements by set, without sets of which the kernel forgets elements by itself.
    package var elements: [SetID: [ElementBytes: Element]] = [:]
    /// The numbers in the rules that the kernel holds, in rule order.
    package var numbers = ProgramNumbers()
    /// Chains whose rules are not the program's.
    package var damagedChains: Set<Chain.Name> = []

    package init() {}

    package static var unusable: TableContents {
        var contents = TableContents()
        contents.isUnusable = true
        return contents
    }
}

extension TableState {
    /// Takes over a table: the state in which exactly these plans are in force, and what must
    /// change in the kernel for that.
    ///
    /// Endpoints keep the slots that they have in the kernel, so a restart changes nothing.
    package static func adopting(
        _ contents: TableContents,
        plans: [ServicePlan],
        node: NodeFacts,
        family: IPFamily
    ) -> (state: TableState, changes: Changeset) {
        var state = TableState(family, node.balancer)
        state.facts = node
        state.usage = RuleNumberUsage(contents.numbers)
        var reconciliation = Reconciliation(contents, family, node.balancer)
        for plan in plans {
            let laidOut = reconciliation.layOut(plan)
            laidOut.forEachElement(family) { reconciliation.want($0, $1) }
            for shared in laidOut.sharedElements(family) {
                state.sharedUsers[shared, default: 0] += 1
                if state.sharedUsers[shared] == 1 {
                    reconciliation.want(shared.set, shared.element)
                }
            }
            laidOut.forEachNumber(family) { state.usage[keyPath: $0].add($1) }
            state.committed[plan.service] = laidOut
        }
        // The reader has compared the rules with those for these facts.
        for (set, elements) in state.elements(of: node) {
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

/// Compares what a table should hold with what it holds, element by element.
private struct Reconciliation {
    private var unclaimed: [SetID: [ElementBytes: Element]]
    private var layouts: [SetID: [ElementBytes: [(slot: UInt32, Endpoint)]]] = [:]
    private var changes = Changeset()
    private let family: IPFamily
    private let balancer: Balancer

    init(_ contents: TableContents, _ family: IPFamily, _ balancer: Balancer) {
        self.balancer = balancer
        unclaimed = contents.elements
        self.family = family
        for map in [SetID.endpoints, .localEndpoints] {
            layouts[map] = Self.layouts(contents.elements[map] ?? [:], family)
        }
    }

    /// The slots of each frontend in the kernel, by the frontend's key.
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
        guard !layouts.isEmpty else { return LaidOutPlan(plan, balancer, replacing: nil) }
        // The first frontend of a pool tells for all of them.
        var previous: [Int: PoolLayout] = [:]
        for frontend in plan.frontends where frontend.key.address.family == family {
            let key = ElementBytes(frontend.key)
            switch frontend.action {
            case .balance(let pool): remember(.endpoints, key, pool, &previous)
            case .split(let cluster, let local):
                remember(.endpoints, key, cluster, &previous)
                if let local { remember(.localEndpoints, key, local, &previous) }
            case .reject, .drop: break
            }
        }
        return LaidOutPlan(plan, balancer) { previous[$0] }
    }

    private func remember(
        _ map: SetID,
        _ key: ElementBytes,
        _ pool: Int,
        _ previous: inout [Int: PoolLayout]
    ) {
        guard previous[pool] == nil, let slots = layouts[map]?[key] else { return }
        let sorted = slots.sorted { $0.slot < $1.slot }
        let isWhole = sorted.enumerated().allSatisfy {
            $1.slot == PoolLayout.firstSlot(UInt32(sorted.count)) + UInt32($0)
        }
        if isWhole { previous[pool] = PoolLayout(placed: sorted.map(\.1)) }
    }

    mutating func want(_ set: SetID, _ element: Element) {
        if unclaimed[set]?[element.key] == element {
            unclaimed[set]?[element.key] = nil
        } else {
            changes.add(set, element)
        }
    }

    /// What nobody wanted goes.
    func finish(_ changes: inout Changeset) {
        changes.added = self.changes.added
        for (set, elements) in unclaimed where !changes.removedSets.contains(set) {
            for element in elements.values { changes.remove(set, element) }
        }
    }
}

extension PoolLayout {
    /// A layout as it is in a kernel.
    fileprivate init(placed endpoints: [Endpoint]) { self.endpoints = endpoints }
}
