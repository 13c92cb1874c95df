/// When to sync and what: pure decisions, time is an argument.
///
/// Repairs are paced and failures are tried again ever later, but a change of the cluster never
/// waits behind such a pause.
package struct SyncPolicy: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package enum Scope: Sendable, Hashable {
        /// Only what changed; needs a dataplane that knows what it committed.
        case changes
        /// Everything, against the kernel as it is.
        case everything
    }

    package enum Action: Sendable, Hashable {
        case idle
        case wait(until: Instant)
        case sync(Scope)
    }

    private var hasChanges = false
    /// The dataplane knows what it committed: there was a sync, and no failure since.
    private var isKnown = false
    /// When everything is to be compared with the kernel; nil: never, as things are.
    private var everythingDue: Instant?
    /// When changes that were put off are to be committed; nil: there are none.
    private var restDue: Instant?
    private var failures = 0
    /// A change may bring the next attempt forward to this moment: as long after a failure as the
    /// attempt took, so that a kernel that refuses everything costs half of the time at most.
    private var earliestRetry: Instant?
    private var repairs = RepairBudget()

    private static let firstRetry = Duration.milliseconds(100)
    private static let longestRetry = Duration.seconds(30)

    package init() {}

    package func next(at now: Instant) -> Action {
        guard isKnown else {
            let due = hasChanges ? earliestRetry : everythingDue
            guard let due, due > now else { return .sync(.everything) }
            return .wait(until: due)
        }
        if let everythingDue, everythingDue <= now { return .sync(.everything) }
        if hasChanges { return .sync(.changes) }
        if let restDue, restDue <= now { return .sync(.changes) }
        return [everythingDue, restDue].compactMap(\.self).min().map { .wait(until: $0) } ?? .idle
    }

    /// Something waits to be programmed.
    package mutating func onChange() { hasChanges = true }

    /// Another program changed what is ours; returns how long its repair waits.
    package mutating func onForeignChange(at now: Instant) -> Duration {
        let delay = repairs.delay(at: now)
        demandEverything(at: now + delay)
        return delay
    }

    /// Everything is to be compared with the kernel, without suspicion.
    package mutating func onReread(at now: Instant) { demandEverything(at: now) }

    private mutating func demandEverything(at moment: Instant) {
        // Otherwise everything is due anyway, at its own time.
        guard isKnown else { return }
        everythingDue = everythingDue.map { min($0, moment) } ?? moment
    }

    /// A sync begins: what changes from now on is for the next one.
    package mutating func onStart() { hasChanges = false }

    /// - Parameter rest: when changes that were put off are due
    package mutating func onSuccess(_ scope: Scope, goingOn rest: Instant? = nil) {
        (isKnown, failures, earliestRetry, restDue) = (true, 0, nil, rest)
        if scope == .everything { everythingDue = nil }
    }

    package mutating func onRepair(at now: Instant, took duration: Duration) {
        repairs.spend(at: now, duration)
    }

    /// Returns how long to wait before the next attempt.
    package mutating func onFailure(at now: Instant, took duration: Duration) -> Duration {
        failures += 1
        let delay = min(Self.firstRetry * (1 << min(failures - 1, 10)), Self.longestRetry)
        (isKnown, everythingDue) = (false, now + delay)
        earliestRetry = now + min(delay, duration)
        return delay
    }
}

/// Lets single repairs be made at once, and bounds what repairs cost if somebody undoes them again
/// and again: from the eleventh on, one a second at most, in at most a fifth of the time.
private struct RepairBudget {
    private static let burst = 10.0
    private var credit = Self.burst
    private var lastRepair: ContinuousClock.Instant?
    private var lastDuration = Duration.zero

    mutating func spend(at now: ContinuousClock.Instant, _ duration: Duration) {
        credit = max(0, refilled(at: now) - 1)
        (lastRepair, lastDuration) = (now, duration)
    }

    func delay(at now: ContinuousClock.Instant) -> Duration {
        guard let lastRepair, refilled(at: now) < 1 else { return .zero }
        return max(.zero, pause - (now - lastRepair))
    }

    private var pause: Duration { max(.seconds(1), lastDuration * 4) }

    /// One repair a pause is forgiven.
    private func refilled(at now: ContinuousClock.Instant) -> Double {
        guard let lastRepair else { return credit }
        return min(Self.burst, credit + (now - lastRepair) / pause)
    }
}
