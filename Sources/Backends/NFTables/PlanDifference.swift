internal import NetworkTypes
internal import ServicePlan

/// The elements to remove and to add when a new plan of a Service replaces an old one.
///
/// Apart from comparing the pools, the cost depends on the differences only: equal frontends and
/// pools are skipped, and in a pool only the slots with a different endpoint are changed.
struct PlanDifference {
    private let old: LaidOutPlan
    private let new: LaidOutPlan
    /// The frontends that both plans have.
    private var common: [(old: Frontend, new: Frontend)] = []
    private var removed: [Frontend] = []
    private var added: [Frontend] = []

    init(_ old: LaidOutPlan, _ new: LaidOutPlan) {
        (self.old, self.new) = (old, new)
        var former = Dictionary(
            old.frontends.map { ($0.key, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        for frontend in new.frontends {
            if let same = former.removeValue(forKey: frontend.key) {
                common.append((same, frontend))
            } else {
                added.append(frontend)
            }
        }
        removed = Array(former.values)
    }

    // MARK: Elements of this Service alone

    func enter(into changes: inout Changeset) {
        for frontend in removed {
            old.forEachElement(of: frontend) { changes.remove($0, $1) }
            for (set, pool) in old.maps(frontend) {
                old.forEachSlot(of: frontend, set, pool) { changes.remove($0, $1) }
            }
        }
        for frontend in added {
            new.forEachElement(of: frontend) { changes.add($0, $1) }
            for (set, pool) in new.maps(frontend) {
                new.forEachSlot(of: frontend, set, pool) { changes.add($0, $1) }
            }
        }
        var slots = SlotChanges(old, new)
        for (before, after) in common {
            // The indexes of pools are part of a frontend but not of its elements.
            if before != after { exchangeElements(before, after, &changes) }
            slots.enter(before, after, &changes)
        }
    }

    private func exchangeElements(
        _ before: Frontend,
        _ after: Frontend,
        _ changes: inout Changeset
    ) {
        var leaving: [SetID: [ElementBytes: Element]] = [:]
        old.forEachElement(of: before) { leaving[$0, default: [:]][$1.key] = $1 }
        new.forEachElement(of: after) { set, element in
            if leaving[set]?[element.key] == element {
                leaving[set]?[element.key] = nil
            } else {
                changes.add(set, element)
            }
        }
        for (set, elements) in leaving {
            for element in elements.values { changes.remove(set, element) }
        }
    }

    // MARK: Elements of several Services

    /// Calls the body with each shared element whose number of uses changes, and with the
    /// difference.
    func forEachSharedChange(_ body: (SharedElement, Int32) -> Void) {
        for frontend in removed { old.clusterIP(frontend).map { body($0, -1) } }
        for frontend in added { new.clusterIP(frontend).map { body($0, 1) } }
        for (before, after) in common where before.kind != after.kind {
            old.clusterIP(before).map { body($0, -1) }
            new.clusterIP(after).map { body($0, 1) }
        }
        var left = Set(old.frontends.flatMap(old.uses))
        var right = Set(new.frontends.flatMap(new.uses))
        for (before, after) in common {
            for (was, use) in zip(old.uses(before), new.uses(after))
            where left.contains(was) && right.contains(use) {
                left.remove(was)
                right.remove(use)
                forEachChange(was, use, body)
            }
        }
        for use in left { old.forEachSharedElement(of: use) { body($0, -1) } }
        for use in right { new.forEachSharedElement(of: use) { body($0, 1) } }
    }

    private func forEachChange(
        _ was: LaidOutPlan.PoolUse,
        _ use: LaidOutPlan.PoolUse,
        _ body: (SharedElement, Int32) -> Void
    ) {
        exchangeDraining(was, use, body)
        let before = old.plan.pools[was.pool].endpoints
        let after = new.plan.pools[use.pool].endpoints
        guard before != after else { return }
        let difference = SortedDifference(before, after)
        func enter(_ endpoint: Endpoint, _ transport: TransportProtocol, _ count: Int32) {
            SharedElement.forEach(endpoint, transport) { body($0, count) }
        }
        for index in difference.removed { enter(before[index], was.transport, -1) }
        for index in difference.added { enter(after[index], use.transport, 1) }
        for (left, right) in difference.common where before[left] != after[right] {
            enter(before[left], was.transport, -1)
            enter(after[right], use.transport, 1)
        }
    }

    private func exchangeDraining(
        _ was: LaidOutPlan.PoolUse,
        _ use: LaidOutPlan.PoolUse,
        _ body: (SharedElement, Int32) -> Void
    ) {
        let before = old.plan.pools[was.pool].draining
        let after = new.plan.pools[use.pool].draining
        guard before != after else { return }
        for endpoint in before { body(.of(draining: endpoint, was.transport), -1) }
        for endpoint in after { body(.of(draining: endpoint, use.transport), 1) }
    }
}

/// The slots that differ between the pools of two plans, remembered because several frontends use
/// the same pools.
private struct SlotChanges {
    private struct Pair: Hashable {
        let old: Int
        let new: Int
    }

    private let old: LaidOutPlan
    private let new: LaidOutPlan
    private var known: [Pair: [Int]] = [:]

    init(_ old: LaidOutPlan, _ new: LaidOutPlan) { (self.old, self.new) = (old, new) }

    mutating func enter(_ before: Frontend, _ after: Frontend, _ changes: inout Changeset) {
        let (former, latter) = (old.maps(before), new.maps(after))
        let key = ElementBytes(after.key)
        for (set, pool) in former {
            guard let successor = latter.first(where: { $0.set == set })?.pool,
                old.layouts[pool].size == new.layouts[successor].size
            else {
                old.forEachSlot(of: before, set, pool) { changes.remove($0, $1) }
                continue
            }
            for slot in changedSlots(Pair(old: pool, new: successor)) {
                changes.remove(set, LaidOutPlan.element(key, old.layouts[pool], slot))
                changes.add(set, LaidOutPlan.element(key, new.layouts[successor], slot))
            }
        }
        for (set, pool) in latter {
            let predecessor = former.first { $0.set == set }?.pool
            if let predecessor, old.layouts[predecessor].size == new.layouts[pool].size {
                continue
            }
            new.forEachSlot(of: after, set, pool) { changes.add($0, $1) }
        }
    }

    private mutating func changedSlots(_ pair: Pair) -> [Int] {
        if let slots = known[pair] { return slots }
        let slots = new.layouts[pair.new].changedSlots(since: old.layouts[pair.old])
        known[pair] = slots
        return slots
    }
}
