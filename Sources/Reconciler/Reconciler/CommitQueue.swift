internal import NetworkTypes
package import ServicePlan

/// Keeps a large change of one Service from delaying the changes of others.
///
/// A Service with many ports and endpoints can need hundreds of thousands of elements. Small
/// changes are committed at once. Large ones follow, one Service at a time; after each, the next
/// one waits for as long as the commit took.
package struct CommitQueue: Sendable {
    package typealias Instant = ContinuousClock.Instant

    private struct Large {
        /// The change from what the backend has committed to the newest plan.
        var change: PlanChange
        let since: Instant

        var frontends: Set<FrontendKey> { Set((change.old?.frontends ?? []).map(\.key)) }
    }

    /// The number of elements above which a change is large; committing this many takes about 20
    /// ms.
    private static let limit = 10_000
    /// How long small changes may go ahead of a large one.
    private static let patience = Duration.seconds(1)

    private var waiting: [String: Large] = [:]
    /// The Services with waiting changes, in the order in which the changes arrived.
    private var order: [String] = []
    private var notBefore: Instant?

    package init() {}

    /// The number of large changes that wait.
    package var count: Int { waiting.count }

    /// Returns when the next large change may be committed; nil if none waits.
    package func due(at now: Instant) -> Instant? {
        waiting.isEmpty ? nil : max(notBefore ?? now, now)
    }

    /// Takes in changes, and returns the changes to commit now and whether there is a large one
    /// among them.
    package mutating func next(
        _ changes: [PlanChange],
        at now: Instant
    ) -> (changes: [PlanChange], isLarge: Bool) {
        var small: [PlanChange] = []
        for change in changes {
            if waiting[change.service] != nil {
                waiting[change.service]?.change.new = change.new
            } else if max(change.new?.weight ?? 0, change.old?.weight ?? 0) > Self.limit {
                waiting[change.service] = Large(change: change, since: now)
                order.append(change.service)
            } else {
                small.append(change)
            }
        }
        guard let first = order.first else { return (small, false) }
        let isDue = (notBefore ?? now) <= now
        if small.isEmpty { return isDue ? (withOwners(take([first])), true) : ([], false) }
        // An endless series of small changes must not delay a large one for ever.
        let since = waiting[first]?.since ?? now
        let isOverdue = isDue && since + Self.patience <= now
        let all = withOwners(isOverdue ? small + take([first]) : small)
        return (all, all.count > small.count)
    }

    /// Adds the waiting changes of Services that still hold a frontend that one of these changes
    /// gives to another Service.
    ///
    /// Both must be committed together. The same is done for the added changes.
    private mutating func withOwners(_ changes: [PlanChange]) -> [PlanChange] {
        var all = changes
        var index = 0
        while index < all.count {
            let wanted = Set(all[index].new?.frontends.map(\.key) ?? [])
            index += 1
            all += take(order.filter { waiting[$0]?.frontends.isDisjoint(with: wanted) == false })
        }
        return all
    }

    private mutating func take(_ services: [String]) -> [PlanChange] {
        guard !services.isEmpty else { return [] }
        order.removeAll { services.contains($0) }
        return services.compactMap { waiting.removeValue(forKey: $0)?.change }
    }

    /// Takes note that a large change was committed.
    package mutating func onCommit(at now: Instant, took duration: Duration) {
        notBefore = now + duration
    }

    /// Empties the queue, because everything is adopted anyway.
    package mutating func removeAll() {
        (waiting, order, notBefore) = ([:], [], nil)
    }
}

extension ServicePlan {
    /// About how many set elements the plan needs.
    fileprivate var weight: Int {
        frontends.reduce(0) { sum, frontend in
            let pools = self.pools(of: frontend)
            let slots = [pools.cluster, pools.local].reduce(0) { sum, pool in
                let count = pool?.endpoints.count ?? 0
                // Pools with more than 32 endpoints have 8 to 16 slots for each endpoint.
                return sum + (count > 32 ? min(12 * count, Pool.largestSize) : count)
            }
            return sum + slots + (frontend.allowedSources?.count ?? 0)
        }
    }
}
