/// The time of a syncer; tests have one of their own.
package protocol SyncClock: Sendable {
    var now: ContinuousClock.Instant { get }
    /// Throws if the task is cancelled.
    func sleep(until moment: ContinuousClock.Instant) async throws
}

/// The time of the machine, which no change of its clock moves.
package struct MachineClock: SyncClock {
    package init() {}
    package var now: ContinuousClock.Instant { .now }

    package func sleep(until moment: ContinuousClock.Instant) async throws {
        try await Task.sleep(until: moment, clock: .continuous)
    }
}
