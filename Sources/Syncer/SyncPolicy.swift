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

    private static let firstRetry = Duration.milliseconds(100)
    private static let longestRetry = Duration.seconds(30)

    package init() {}

    package var nextScope: Scope { scope }

    package mutating func onForeignChange() { scope = .everything }

    package mutating func onSuccess() {
        scope = .changes
        failures = 0
    }

    /// Returns how long to wait before the next attempt.
    package mutating func onFailure() -> Duration {
        scope = .everything
        failures += 1
        return min(Self.firstRetry * (1 << min(failures - 1, 10)), Self.longestRetry)
    }
}
