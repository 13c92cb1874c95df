import Backend
import NetworkTypes
import ServicePlan
import Synchronization
import TestSupport
import Testing

/// A backend that holds plans, checks that each change begins with what it holds, and fails when told.
final class ModelBackend: TestBackend {
    struct State {
        var plans: [String: ServicePlan] = [:]
        /// Nil: it has forgotten what it holds.
        var isKnown = false
        var node: NodeFacts?
        var failures: [CommitError?] = []
        var reports: [CommitReport] = []
        var maintenance: [Result<Maintenance, CommitError>] = []
        var adoptions = 0
        var commits: [[PlanChange]] = []
    }

    let state = Mutex(State())

    var plans: [String: ServicePlan] { state.withLock(\.plans) }
    var commits: [[PlanChange]] { state.withLock(\.commits) }
    var adoptions: Int { state.withLock(\.adoptions) }
    var node: NodeFacts? { state.withLock(\.node) }

    var isKnown: Bool { state.withLock(\.isKnown) }

    /// Forgets failures that no attempt has met.
    func forgetFailures() { state.withLock { $0.failures = [] } }

    /// Makes the next adoptions and commits fail with these errors; nil: it succeeds.
    func fail(_ errors: CommitError?...) { state.withLock { $0.failures += errors } }

    func report(_ reports: CommitReport...) { state.withLock { $0.reports += reports } }

    func maintain(_ answers: Result<Maintenance, CommitError>...) {
        state.withLock { $0.maintenance += answers }
    }

    func adopt(
        _ supply: PlanSupply,
        node: NodeFacts
    ) throws(CommitError) -> CommitReport {
        let plans = supply.all()
        return try attempt { state in
            state.adoptions += 1
            state.plans = Dictionary(uniqueKeysWithValues: plans.map { ($0.service, $0) })
            (state.node, state.isKnown) = (node, true)
        }
    }

    func commit(
        _ changes: [PlanChange],
        node: NodeFacts
    ) throws(CommitError) -> CommitReport {
        try attempt { state in
            #expect(state.isKnown, "a commit before everything was adopted")
            #expect(Set(changes.map(\.service)).count == changes.count)
            for change in changes {
                #expect(change.old == state.plans[change.service], "\(change.service)")
                state.plans[change.service] = change.new
            }
            state.commits.append(changes)
            state.node = node
        }
    }

    private func attempt(_ body: (inout State) -> Void) throws(CommitError) -> CommitReport {
        let result = state.withLock { state -> Result<CommitReport, CommitError> in
            if !state.failures.isEmpty, let failure = state.failures.removeFirst() {
                state.isKnown = false
                return .failure(failure)
            }
            body(&state)
            return .success(state.reports.isEmpty ? CommitReport() : state.reports.removeFirst())
        }
        return try result.get()
    }

    func maintain() throws(CommitError) -> Maintenance {
        let next = state.withLock { state in
            state.maintenance.isEmpty ? .success(.finished) : state.maintenance.removeFirst()
        }
        return try next.get()
    }

    func difference(_ plans: [ServicePlan], node: NodeFacts) -> [Difference] {
        let held = self.plans
        return plans.filter { held[$0.service] != $0 }.map {
            Difference(.change, $0.service, of: .everyone)
        }
    }
}
