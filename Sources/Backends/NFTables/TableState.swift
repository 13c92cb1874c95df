internal import Containers
package import NetworkTypes
package import ServicePlan

/// The state of one table as far as later changes need it: slots, counts and numbers, but no
/// elements.
///
/// It has no side effects: it returns changes, and the caller commits them. If a commit fails, the
/// state no longer matches the kernel and must be made anew from what the kernel holds.
package struct TableState: Sendable {
    package let family: IPFamily
    /// For each Service, the layouts of its plan's pools, unless they follow from the plan alone.
    private var layouts = DenseMap<String, [PoolLayout]>()
    var sharedUsers = SharedUsers()
    var usage: RuleNumberUsage
    /// The number of elements in each set; sets that never had an element may be missing.
    package var elementCounts: [SetID: Int] = [:]
    var inputs: TableInputs

    package init(_ family: IPFamily, _ role: TableRole = .balancer) {
        self.family = family
        inputs = TableInputs(role: role)
        usage = RuleNumberUsage()
    }

    private var role: TableRole { inputs.role }

    /// The program that the table must have now.
    package var program: Program {
        Program(family, Program.Variant(inputs, family), numbers: usage.numbers)
    }

    // MARK: Changing Services

    /// Replaces the plans of some Services and the inputs, and returns the changes of the table.
    package mutating func apply(_ plans: [PlanChange], _ inputs: TableInputs) -> Changeset {
        var changes = Changeset()
        var shared = SharedChanges()
        for change in plans { replace(change, &changes, &shared) }
        shared.finish(sharedUsers, &changes)
        settleNumbers(&changes)
        replaceInputs(inputs, &changes)
        count(changes)
        return changes
    }

    mutating func count(_ changes: Changeset) {
        for (set, elements) in changes.added where !SetDefinition(set).isForgetful {
            elementCounts[set, default: 0] += elements.count
        }
        for (set, elements) in changes.removed { elementCounts[set, default: 0] -= elements.count }
        for set in changes.removedSets { elementCounts[set] = nil }
    }

    private mutating func replace(
        _ change: PlanChange,
        _ changes: inout Changeset,
        _ shared: inout SharedChanges
    ) {
        // Most Services are of one family.
        guard change.old != change.new, change.concerns(family) else { return }
        let nothing = ServicePlan(service: change.service)
        let former = change.old ?? nothing
        let old =
            layouts[change.service].map { LaidOutPlan(former, role, family, layouts: $0) }
            ?? LaidOutPlan(former, role, family)
        let new = LaidOutPlan(change.new ?? nothing, role, family, replacing: old)
        let difference = PlanDifference(old, new)
        difference.enter(into: &changes)
        difference.forEachSharedChange { shared.count($0, $1, &sharedUsers) }
        old.forEachNumber { usage[keyPath: $0].add($1, -1) }
        new.forEachNumber { usage[keyPath: $0].add($1) }
        keep(new)
    }

    mutating func keep(_ plan: LaidOutPlan) {
        layouts[plan.plan.service] = plan.followsFromPlan ? nil : plan.layouts
    }

    // MARK: Numbers in rules

    mutating func settleNumbers(_ changes: inout Changeset) {
        for (chain, numbers) in [
            (Chain.Name.pick, \RuleNumberUsage.poolSizes), (.pickLocal, \.localPoolSizes),
        ] {
            let count = usage[keyPath: numbers].listed.count
            switch usage[keyPath: numbers].settle() {
            case .none: break
            case .append:
                let rules = self.program.chain(chain)?.rules ?? []
                changes.chains[chain] = .append(Array(rules[count...]))
            case .replace:
                changes.chains[chain] = .replace(self.program.chain(chain)?.rules ?? [])
            }
        }
        settleAffinityTimeouts(&changes)
        settleSourceLengths(&changes)
    }

    private mutating func settleSourceLengths(_ changes: inout Changeset) {
        let before = usage.sourceLengths.listed
        guard usage.sourceLengths.settle() != .none else { return }
        let lengths = usage.sourceLengths.listed
        // The last rule of the chain drops clients that no other rule allows, so rules cannot be
        // appended.
        changes.chains[.sourceRanges] = .replace(program.chain(.sourceRanges)?.rules ?? [])
        let sets = { (lengths: Set<UInt32>) in lengths.sorted().map(SetID.allowedSources) }
        changes.addedSets = sets(Set(lengths).subtracting(before))
        changes.removedSets = sets(Set(before).subtracting(lengths))
        // Elements are removed together with their set.
        for set in changes.removedSets { changes.removed[set] = nil }
    }

    private mutating func settleAffinityTimeouts(_ changes: inout Changeset) {
        let before = usage.affinityTimeouts.listed
        guard usage.affinityTimeouts.settle() != .none else { return }
        let timeouts = usage.affinityTimeouts.listed
        for timeout in Set(timeouts).subtracting(before) {
            let chain = program.remembering(timeout)
            changes.chains[chain.name] = .create(chain)
        }
        for timeout in Set(before).subtracting(timeouts) {
            changes.chains[.rememberFor(seconds: timeout)] = .delete
        }
    }

    // MARK: Facts of the node

    private mutating func replaceInputs(_ new: TableInputs, _ changes: inout Changeset) {
        // Most commits only change Services.
        guard new != inputs else { return }
        for ((set, before), (_, after)) in zip(elements(of: inputs), elements(of: new)) {
            for element in before.subtracting(after) { changes.remove(set, element) }
            for element in after.subtracting(before) { changes.add(set, element) }
        }
        let before = program
        inputs = new
        guard program.variant != before.variant else { return }
        for chain in program.chains where before.chain(chain.name) != chain {
            // A chain of `remember` may be new by what the Services have changed.
            var isNew = before.chain(chain.name) == nil
            if case .create = changes.chains[chain.name] { isNew = true }
            changes.chains[chain.name] = isNew ? .create(chain) : .replace(chain.rules)
        }
        for chain in before.chains where program.chain(chain.name) == nil {
            changes.chains[chain.name] = .delete
        }
        let (sets, setsBefore) = (Set(program.sets.map(\.id)), Set(before.sets.map(\.id)))
        changes.addedSets += sets.subtracting(setsBefore)
        changes.removedSets += setsBefore.subtracting(sets)
        // Elements are removed together with their set.
        for set in changes.removedSets { changes.removed[set] = nil }
    }

    /// Returns the sets that hold facts of the node with their elements, always in the same order.
    func elements(of inputs: TableInputs) -> [(set: SetID, elements: Set<Element>)] {
        [
            (.serviceCIDRs, elements(of: inputs.facts.serviceCIDRs)),
            (.podCIDRs, elements(of: inputs.facts.podCIDRs)),
            (.draining, elements(of: inputs.draining)),
            (.inherited, elements(of: inputs.inherited ?? [])),
        ]
    }

    private func elements(of draining: Set<DrainingDestination>) -> Set<Element> {
        guard role == .policy else { return [] }
        return Set(
            draining.filter { $0.endpoint.family == family }.map {
                var key = ElementBytes($0.frontend)
                key.append($0.endpoint)
                return Element(key: key)
            }
        )
    }

    private func elements(of connections: Set<InheritedConnection>) -> Set<Element> {
        guard role == .balancer else { return [] }
        return Set(
            connections.lazy.filter { $0.client.address.family == family }.map {
                var key = ElementBytes($0.client.address, port: $0.client.port)
                key.append($0.frontend.address)
                key.append(port: $0.frontend.port)
                return Element(key: key)
            }
        )
    }

    private func elements(of blocks: [IPPrefix]) -> Set<Element> {
        Set(
            IPPrefix.aggregated(blocks.filter { $0.family == family }).map {
                Element(key: ElementBytes($0.base), keyEnd: ElementBytes($0.last))
            }
        )
    }
}

extension PlanChange {
    /// Whether either plan has a frontend of a family.
    fileprivate func concerns(_ family: IPFamily) -> Bool {
        [old, new].contains { plan in
            plan?.frontends.contains { $0.key.address.family == family } == true
        }
    }
}
