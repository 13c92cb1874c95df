package import Backend
internal import NetworkTypes
package import ServicePlan
internal import Synchronization

/// A dataplane that follows a script and records its commits.
package final class FakeBackend: TestBackend {
    package enum Commit: Equatable, Sendable {
        case everything(Set<String>)
        case some(Set<String>)
    }

    private struct State {
        package init() {}

        package var commits: [Commit] = []
        var failures: [CommitError] = []
        var watchers: [(count: Int, CheckedContinuation<Void, Never>)] = []
        var gate: CheckedContinuation<Void, Never>?
        var isHeld = false
    }

    private let state = Mutex(State())

    package init() {}

    package var commits: [Commit] { state.withLock(\.commits) }

    /// Makes the next commits fail with these errors, one after the other.
    package func fail(_ errors: CommitError...) { state.withLock { $0.failures += errors } }

    /// Makes the next commit wait until `release` is called.
    package func hold() { state.withLock { $0.isHeld = true } }

    package func release() {
        state.withLock { state in
            state.isHeld = false
            defer { state.gate = nil }
            return state.gate
        }?.resume()
    }

    /// Returns when the number of requested commits has reached this count.
    package func wait(for count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.commits.count < count { state.watchers.append((count, continuation)) }
                return state.commits.count >= count
            }
            if isThere { continuation.resume() }
        }
    }

    package func adopt(
        _ supply: PlanSupply,
        node: NodeFacts
    ) async throws(CommitError) -> CommitReport {
        supply.programmed(supply.first.count)
        let all = supply.all()
        let report = try await take(.everything(Set(all.map(\.service))))
        supply.programmed(all.count)
        return report
    }

    package func commit(
        _ changes: [PlanChange],
        node: NodeFacts
    ) async throws(CommitError) -> CommitReport {
        try await take(.some(Set(changes.map(\.service))))
    }

    private func take(_ commit: Commit) async throws(CommitError) -> CommitReport {
        let (failure, isHeld, waiting) = state.withLock { state in
            state.commits.append(commit)
            let waiting = state.watchers.filter { $0.count <= state.commits.count }
            state.watchers.removeAll { $0.count <= state.commits.count }
            let failure = state.failures.isEmpty ? nil : state.failures.removeFirst()
            return (failure, state.isHeld, waiting.map(\.1))
        }
        for continuation in waiting { continuation.resume() }
        if isHeld {
            await withCheckedContinuation { gate in
                let isOpen = state.withLock { state in
                    if state.isHeld { state.gate = gate }
                    return !state.isHeld
                }
                if isOpen { gate.resume() }
            }
        }
        if let failure { throw failure }
        var report = CommitReport()
        report.elementsAdded = 1
        return report
    }
}
