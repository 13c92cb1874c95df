internal import Reconciler
internal import Synchronization

/// A clock whose time passes only when a test says so.
package final class TestClock: SyncClock {
    private struct State {
        var now = ContinuousClock.now
        var sleepers: [(until: ContinuousClock.Instant, CheckedContinuation<Void, Never>)] = []
        var watchers: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    package init() {}

    package var now: ContinuousClock.Instant { state.withLock(\.now) }

    package func sleep(until moment: ContinuousClock.Instant) async throws {
        await withCheckedContinuation { continuation in
            let (isOver, watchers) = state.withLock { state in
                let isOver = state.now >= moment
                if !isOver { state.sleepers.append((moment, continuation)) }
                defer { state.watchers = [] }
                return (isOver, state.watchers)
            }
            if isOver { continuation.resume() }
            for watcher in watchers { watcher.resume() }
        }
    }

    /// Returns when a task sleeps, with the duration of its sleep.
    package func waitForSleeper() async -> Duration {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.sleepers.isEmpty { state.watchers.append(continuation) }
                return !state.sleepers.isEmpty
            }
            if isThere { continuation.resume() }
        }
        return state.withLock { state in
            (state.sleepers.map(\.until).min() ?? state.now) - state.now
        }
    }

    package func advance(by duration: Duration) {
        let woken = state.withLock { state in
            state.now += duration
            let now = state.now
            defer { state.sleepers.removeAll { $0.until <= now } }
            return state.sleepers.filter { $0.until <= now }.map(\.1)
        }
        for sleeper in woken { sleeper.resume() }
    }

    /// Wakes all sleepers, at the end of a test.
    package func end() { advance(by: .seconds(1_000_000)) }
}
