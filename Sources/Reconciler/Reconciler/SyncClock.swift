/// The clock of a reconciler; tests use one of their own.
package protocol SyncClock: Sendable {
    var now: ContinuousClock.Instant { get }
    /// Throws if the task is cancelled.
    func sleep(until moment: ContinuousClock.Instant) async throws
}

/// The monotonic clock of the machine, which setting the time of day does not change.
package struct MachineClock: SyncClock {
    package init() {}
    package var now: ContinuousClock.Instant { .now }

    package func sleep(until moment: ContinuousClock.Instant) async throws {
        try await Task.sleep(until: moment, clock: .continuous)
    }
}
