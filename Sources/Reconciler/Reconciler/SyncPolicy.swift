/// Decides when to sync, and whether to sync everything or only changes.
///
/// It has no clock: time is an argument. Repairs are limited in their rate and pauses after
/// failures grow, but a change of the cluster never waits for such a pause to end.
package struct SyncPolicy: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package enum Scope: Sendable, Hashable {
        /// Only the changes; the backend must know what it committed.
        case changes
        /// Everything, compared with what the kernel holds.
        case everything
    }

    package enum Action: Sendable, Hashable {
        case idle
        case wait(until: Instant)
        case sync(Scope)
    }

    private var hasChanges = false
    /// Whether the backend knows what it committed: there was a sync, and no failure since.
    private var isKnown = false
    /// When everything is to be compared with the kernel; nil if no comparison is planned.
    private var everythingDue: Instant?
    /// When changes that were put off are to be committed; nil if there are none.
    private var restDue: Instant?
    private var failures = 0
    /// The earliest moment at which a change may cause another attempt after a failure.
    ///
    /// The pause is as long as the failed attempt was, so that attempts take at most half of the
    /// time if the kernel refuses everything.
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

    /// Takes note that a change waits to be programmed.
    package mutating func onChange() { hasChanges = true }

    /// Plans the repair of an object that another program changed, and returns how long the repair
    /// waits.
    package mutating func onForeignChange(at now: Instant) -> Duration {
        let delay = repairs.delay(at: now)
        demandEverything(at: now + delay)
        return delay
    }

    /// Plans a comparison of everything with the kernel, as a precaution.
    package mutating func onReread(at now: Instant) { demandEverything(at: now) }

    private mutating func demandEverything(at moment: Instant) {
        // Before the first sync and after a failure, a sync of everything is planned already.
        guard isKnown else { return }
        everythingDue = everythingDue.map { min($0, moment) } ?? moment
    }

    /// Takes note that a sync begins: changes from now on are for the next one.
    package mutating func onStart() { hasChanges = false }

    /// Takes note that a sync has succeeded.
    ///
    /// - Parameter rest: when changes that were put off are due; nil if there are none
    package mutating func onSuccess(_ scope: Scope, goingOn rest: Instant? = nil) {
        (isKnown, failures, earliestRetry, restDue) = (true, 0, nil, rest)
        if scope == .everything { everythingDue = nil }
    }

    package mutating func onRepair(at now: Instant, took duration: Duration) {
        repairs.spend(at: now, duration)
    }

    /// Takes note that a sync has failed, and returns how long to wait before the next attempt.
    package mutating func onFailure(at now: Instant, took duration: Duration) -> Duration {
        failures += 1
        let delay = min(Self.firstRetry * (1 << min(failures - 1, 10)), Self.longestRetry)
        (isKnown, everythingDue) = (false, now + delay)
        earliestRetry = now + min(delay, duration)
        return delay
    }
}

/// Allows ten repairs at once, and limits further ones in case another program keeps undoing them.
///
/// From the eleventh on there is at most one repair per second, and repairs take at most a fifth of
/// the time.
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

    /// The credit at this moment: it grows by one for each `pause` that passes.
    private func refilled(at now: ContinuousClock.Instant) -> Double {
        guard let lastRepair else { return credit }
        return min(Self.burst, credit + (now - lastRepair) / pause)
    }
}
