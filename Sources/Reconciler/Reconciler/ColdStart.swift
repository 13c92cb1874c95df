internal import Backend
internal import KubernetesModel
internal import NetworkTypes
internal import ServicePlan
internal import Synchronization

/// The first compilation of everything, of which the part that others wait for comes first.
///
/// It has its own copy of the cluster, so that the backend can ask for the rest when it has
/// programmed the first part, while new changes arrive.
final class ColdStart: Sendable {
    private struct State {
        var cluster: Cluster
        var update: PlanUpdate?
        var compiling: Duration
    }

    /// The changes that lead to the plans that others wait for.
    let firstChanges: [PlanChange]
    /// These plans, in the order of need.
    private let first: [ServicePlan]
    private let state: Mutex<State>
    private let interfaceAddresses: [IPAddress]
    private let apiServers: Set<FrontendKey>
    private let clock: any SyncClock

    /// Compiles the part that others wait for.
    init(
        _ cluster: Cluster,
        interfaceAddresses: [IPAddress],
        apiServers: Set<FrontendKey>,
        clock: any SyncClock
    ) {
        var cluster = cluster
        let start = clock.now
        let needed = cluster.state.neededFirst(atMost: Self.firstLimit)
        firstChanges = cluster.compileFirst(
            needed,
            interfaceAddresses: interfaceAddresses,
            apiServers: apiServers
        )
        first = cluster.plans.inOrderOfNeed
        (self.interfaceAddresses, self.apiServers) = (interfaceAddresses, apiServers)
        self.clock = clock
        state = Mutex(State(cluster: cluster, update: nil, compiling: clock.now - start))
    }

    /// A few transactions' worth of Services, which a node with many pods may have.
    private static let firstLimit = 500

    /// Compiles the rest, unless that is done, and returns everything.
    ///
    /// The changes of the update lead from the first plans to all of them.
    func finish() -> (cluster: Cluster, update: PlanUpdate, compiling: Duration) {
        state.withLock { state in
            if let update = state.update { return (state.cluster, update, state.compiling) }
            let start = clock.now
            let update = state.cluster.compile(
                interfaceAddresses: interfaceAddresses,
                apiServers: apiServers,
                continuing: true
            )
            state.update = update
            state.compiling += clock.now - start
            return (state.cluster, update, state.compiling)
        }
    }

    /// Returns what the backend needs.
    ///
    /// - Parameter progress: hears how many Services are programmed
    func supply(_ progress: StartProgress) -> PlanSupply {
        progress.begins(with: first)
        return PlanSupply(
            first: first,
            rest: { [self] in
                let (cluster, update, _) = finish()
                progress.knows(services: cluster.planCount)
                return update.changes.inOrderOfNeed
            },
            all: { [self] in
                let plans = finish().cluster.plans
                progress.knows(services: plans.count)
                return plans.inOrderOfNeed
            },
            programmed: { progress.programmed($0) }
        )
    }
}
