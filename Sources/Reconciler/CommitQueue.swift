internal import NetworkTypes
package import ServicePlan

/// Keeps what one Service changes from holding up what others change.
///
/// A Service with many ports and endpoints is hundreds of thousands of elements. What is small is
/// committed first, and at once; what is large follows, one Service at a time, and after each as
/// much time is left to others as it took.
package struct CommitQueue: Sendable {
    package typealias Instant = ContinuousClock.Instant

    private struct Large {
        /// From what the backend has.
        var change: PlanChange
        let since: Instant

        var frontends: Set<FrontendKey> { Set((change.old?.frontends ?? []).map(\.key)) }
    }

    /// Elements from which on a change is large: some 20 ms.
    private static let limit = 10_000
    /// For how long small changes go first.
    private static let patience = Duration.seconds(1)

    private var waiting: [String: Large] = [:]
    /// In the order in which they came.
    private var order: [String] = []
    private var notBefore: Instant?

    package init() {}

    /// When the next large change may be committed; nil: none waits.
    package func due(at now: Instant) -> Instant? {
        waiting.isEmpty ? nil : max(notBefore ?? now, now)
    }

    /// Takes changes in, and says what is to be committed now, and whether that is a large one.
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
        // Small changes without end do not put it off for ever.
        let since = waiting[first]?.since ?? now
        let isOverdue = isDue && since + Self.patience <= now
        let all = withOwners(isOverdue ? small + take([first]) : small)
        return (all, all.count > small.count)
    }

    /// Adds those who wait and have a frontend that is to be another Service's, since they must let it
    /// go at the same time; and so on.
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

    /// A large change was committed.
    package mutating func onCommit(at now: Instant, took duration: Duration) {
        notBefore = now + duration
    }

    /// Everything was committed.
    package mutating func removeAll() {
        (waiting, order, notBefore) = ([:], [], nil)
    }
}

extension ServicePlan {
    /// About how many elements of a set it takes.
    fileprivate var weight: Int {
        frontends.reduce(0) { sum, frontend in
            let pools = self.pools(of: frontend)
            let slots = [pools.cluster, pools.local].reduce(0) { sum, pool in
                let count = pool?.endpoints.count ?? 0
                // Larger pools have 8 to 16 slots for each endpoint.
                return sum + (count > 32 ? min(12 * count, Pool.largestSize) : count)
            }
            return sum + slots + (frontend.allowedSources?.count ?? 0)
        }
    }
}
