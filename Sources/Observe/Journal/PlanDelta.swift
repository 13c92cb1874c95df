internal import NetworkTypes
package import ServicePlan

/// The difference between two plans of a Service, from which the older one can be had again.
package struct PlanDelta: Sendable, Hashable {
    package let steps: [PlanStep]

    package init(from old: ServicePlan?, to new: ServicePlan?) {
        var writer = JournalWriter()
        writer.writeDelta(from: old, to: new)
        var reader = JournalReader(writer.bytes[...])
        self.init(&reader)
    }

    init(_ reader: inout JournalReader) {
        var steps: [PlanStep] = []
        while let step = reader.step() { steps.append(step) }
        self.steps = steps
    }

    /// The plan is not the one to which the difference leads.
    package struct Mismatch: Error {}

    /// Returns the older plan.
    ///
    /// - Parameter plan: the newer plan; nil if there is none
    package func undone(
        from plan: ServicePlan?,
        of service: String
    ) throws(Mismatch) -> ServicePlan? {
        var isThere = plan != nil
        var result = plan ?? ServicePlan(service: service)
        for step in steps.reversed() {
            if case .existence(let old, let new) = step {
                guard isThere == new else { throw Mismatch() }
                isThere = old
            } else {
                try result.undo(step)
            }
        }
        if isThere { return result }
        guard result == ServicePlan(service: service) else { throw Mismatch() }
        return nil
    }
}

extension ServicePlan {
    fileprivate mutating func undo(_ step: PlanStep) throws(PlanDelta.Mismatch) {
        switch step {
        case .existence: break
        case .frontend(let frontend, let sign): try frontends.undo(frontend, sign, by: \.key)
        case .poolCount(let old, let new):
            guard pools.count == new else { throw PlanDelta.Mismatch() }
            while pools.count < old { pools.append(Pool([])) }
            guard pools[old...].allSatisfy({ $0 == Pool([]) }) else { throw PlanDelta.Mismatch() }
            pools.removeSubrange(old...)
        case .endpoint(let endpoint, let pool, let isDraining, let sign):
            guard pools.indices.contains(pool) else { throw PlanDelta.Mismatch() }
            if isDraining {
                try pools[pool].draining.undo(endpoint, sign, by: \.place)
            } else {
                try pools[pool].endpoints.undo(endpoint, sign, by: \.place)
            }
        case .scheduler(let old, let new):
            guard scheduler == new else { throw PlanDelta.Mismatch() }
            scheduler = old
        case .weight(let address, let weight, let sign):
            guard weights[address] == (sign == .added ? weight : nil) else {
                throw PlanDelta.Mismatch()
            }
            weights[address] = sign == .added ? nil : weight
        case .healthCheck(let old, let new):
            guard healthCheck == new else { throw PlanDelta.Mismatch() }
            healthCheck = old
        case .forwardedPort(let port, let sign):
            try forwardedPorts.undo(port, sign, by: \.key)
        }
    }
}

extension Array where Element: Equatable {
    /// Removes an added element, or puts a removed one back, in an array that is sorted by a key.
    fileprivate mutating func undo<Key: Comparable>(
        _ element: Element,
        _ sign: PlanStep.Sign,
        by key: (Element) -> Key
    ) throws(PlanDelta.Mismatch) {
        let wanted = key(element)
        var range = indices
        while !range.isEmpty {
            let middle = range.lowerBound + range.count / 2
            if key(self[middle]) < wanted {
                range = middle + 1..<range.upperBound
            } else {
                range = range.lowerBound..<middle
            }
        }
        let index = range.lowerBound
        let isThere = index < count && key(self[index]) == wanted
        switch sign {
        case .added:
            guard isThere, self[index] == element else { throw PlanDelta.Mismatch() }
            remove(at: index)
        case .removed:
            guard !isThere else { throw PlanDelta.Mismatch() }
            insert(element, at: index)
        }
    }
}

// MARK: Finding the difference

extension JournalWriter {
    /// Writes the steps from one plan to another, and returns whether there are any.
    ///
    /// Nothing is put together for this but the bytes, since it is done for each change.
    @discardableResult
    mutating func writeDelta(from old: ServicePlan?, to new: ServicePlan?) -> Bool {
        let start = count
        if (old == nil) != (new == nil) {
            write(.existence(old: old != nil, new: new != nil))
        }
        let (oldCount, newCount) = (old?.pools.count ?? 0, new?.pools.count ?? 0)
        if newCount > oldCount { write(.poolCount(old: oldCount, new: newCount)) }
        writePools(old?.pools ?? [], new?.pools ?? [])
        if newCount < oldCount { write(.poolCount(old: oldCount, new: newCount)) }
        merge(old?.frontends ?? [], new?.frontends ?? [], by: \.key) { $0.write(.frontend($1, $2)) }
        merge(old?.forwardedPorts ?? [], new?.forwardedPorts ?? [], by: \.key) {
            $0.write(.forwardedPort($1, $2))
        }
        if old?.scheduler != new?.scheduler {
            write(.scheduler(old: old?.scheduler, new: new?.scheduler))
        }
        if old?.healthCheck != new?.healthCheck {
            write(.healthCheck(old: old?.healthCheck, new: new?.healthCheck))
        }
        writeWeights(old?.weights ?? [:], new?.weights ?? [:])
        let hasSteps = count > start
        writeEnd()
        return hasSteps
    }

    private mutating func writePools(_ old: [Pool], _ new: [Pool]) {
        let none: [Endpoint] = []
        for index in 0..<max(old.count, new.count) {
            let isOld = index < old.count
            let isNew = index < new.count
            merge(
                isOld ? old[index].endpoints : none,
                isNew ? new[index].endpoints : none,
                by: \.place
            ) { $0.write(.endpoint($1, pool: index, isDraining: false, $2)) }
            merge(
                isOld ? old[index].draining : none,
                isNew ? new[index].draining : none,
                by: \.place
            ) { $0.write(.endpoint($1, pool: index, isDraining: true, $2)) }
        }
    }

    private mutating func writeWeights(
        _ old: [IPAddress: UInt16],
        _ new: [IPAddress: UInt16]
    ) {
        guard !(old.isEmpty && new.isEmpty) else { return }
        for (address, weight) in old where new[address] != weight {
            write(.weight(address, weight, .removed))
        }
        for (address, weight) in new where old[address] != weight {
            write(.weight(address, weight, .added))
        }
    }

    /// Goes through two arrays that are sorted by a key, and calls the closure with what only one of
    /// them has.
    private mutating func merge<Element: Equatable, Key: Comparable>(
        _ old: [Element],
        _ new: [Element],
        by key: (Element) -> Key,
        _ body: (inout JournalWriter, Element, PlanStep.Sign) -> Void
    ) {
        var (left, right) = (0, 0)
        while left < old.count || right < new.count {
            if left < old.count, right < new.count, old[left] == new[right] {
                (left, right) = (left + 1, right + 1)
            } else if right == new.count
                || left < old.count && key(old[left]) <= key(new[right])
            {
                body(&self, old[left], .removed)
                left += 1
            } else {
                body(&self, new[right], .added)
                right += 1
            }
        }
    }
}
