/// When to sync and how: pure decisions, time is an argument.
package struct SyncPolicy: Sendable {
    package enum Scope: Sendable, Hashable {
        /// Only what changed; needs a dataplane that knows what it committed.
        case changes
        /// Everything, against the kernel as it is.
        case everything
    }

    private var scope = Scope.everything
    private var failures = 0
    private var repairs = RepairBudget()

    private static let firstRetry = Duration.milliseconds(100)
    private static let longestRetry = Duration.seconds(30)

    package init() {}

    package var nextScope: Scope { scope }

    /// Returns how long to wait before the repair.
    package mutating func onForeignChange(at now: ContinuousClock.Instant) -> Duration {
        scope = .everything
        return repairs.delay(at: now)
    }

    package mutating func onReread() { scope = .everything }

    package mutating func onSuccess() {
        scope = .changes
        failures = 0
    }

    package mutating func onRepair(at now: ContinuousClock.Instant, took duration: Duration) {
        repairs.spend(at: now, duration)
    }

    /// Returns how long to wait before the next attempt.
    package mutating func onFailure() -> Duration {
        scope = .everything
        failures += 1
        return min(Self.firstRetry * (1 << min(failures - 1, 10)), Self.longestRetry)
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
