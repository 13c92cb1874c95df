package import KubernetesModel
package import NetworkTypes
package import PlanCompiler
package import ServicePlan

/// The objects of the cluster and their plans, between the sources that fill it and the syncer.
///
/// Compiling happens here, so that nobody ever copies the state.
package actor ClusterStore {
    /// The lists that are awaited before anything is programmed or deleted.
    package enum List: String, Sendable, CaseIterable {
        case services, endpoints, nodes, serviceCIDRs

        /// Without it nothing can be programmed; the others are not waited for in vain.
        package var isEssential: Bool { self == .services || self == .endpoints }
    }

    private var configuration: NodeConfiguration
    private var state: ClusterState
    private var plans = ClusterPlans()
    private var view: NodeView?
    private var missing: Set<List>
    private var arrived: Set<List> = []
    /// When the first change arrived that is not compiled yet.
    private var pendingSince: ContinuousClock.Instant?
    private let doorbell: AsyncStream<Void>.Continuation
    /// Yields after changes, once every list is there; changes meanwhile are one.
    package nonisolated let changes: AsyncStream<Void>

    package init(
        _ configuration: NodeConfiguration,
        endpointsFrom source: EndpointsSource = .endpointSlices,
        awaiting lists: Set<List>
    ) {
        self.configuration = configuration
        state = ClusterState(nodeName: configuration.nodeName, endpointsFrom: source)
        missing = lists
        (changes, doorbell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    package var isComplete: Bool { missing.isEmpty }

    /// The lists that are still awaited.
    package var missingLists: Set<List> { missing }

    /// Goes on without a list that is not essential, until it arrives.
    ///
    /// - Returns: whether it was still awaited
    @discardableResult
    package func waive(_ list: List) -> Bool {
        guard !list.isEssential, missing.remove(list) != nil else { return false }
        ring()
        return true
    }

    /// Changes the state; with `completing`, a list that has arrived in full.
    package func update(
        completing list: List? = nil,
        _ body: @Sendable (inout ClusterState) -> Void
    ) {
        body(&state)
        if let list {
            missing.remove(list)
            arrived.insert(list)
        }
        ring()
    }

    /// What an operator says of the node has changed; everything is compiled again.
    package func configure(_ configuration: NodeConfiguration) {
        self.configuration = configuration
        ring()
    }

    private func ring() {
        pendingSince = pendingSince ?? .now
        if missing.isEmpty { doorbell.yield() }
    }

    /// Replaces everything with the objects of manifests.
    package func replaceAll(_ objects: [KubernetesObject]) {
        state.replaceAll(objects)
        missing = []
        ring()
    }

    /// Compiles what changed since the last time.
    package func compileChanges(interfaceAddresses: [IPAddress]) -> PlanUpdate {
        let pending = state.pending
        let waited = pendingSince.map { ContinuousClock.now - $0 } ?? .zero
        pendingSince = nil
        let changes = state.takeChanges()
        let newView = configuration.view(node: state.node, interfaceAddresses: interfaceAddresses)
        // Facts of the node concern every Service; unchanged plans go no further than this.
        let dirty = newView == view ? changes.services : changes.services.union(state.services.keys)
        view = newView
        let changed = plans.update(dirty, for: newView, input: state.input)
        return PlanUpdate(
            plans: changed,
            diagnostics: dirty.map { ($0, plans.diagnostics[$0] ?? []) } + state.nodeDiagnostics,
            facts: configuration.facts(node: state.node, serviceCIDRs: state.serviceCIDRs),
            nodePortAddresses: newView.nodePortAddresses,
            pending: pending,
            waited: waited
        )
    }

    /// What there is, and what waits to be compiled.
    package var summary: StoreSummary {
        StoreSummary(
            services: state.services.count,
            endpoints: state.endpointCount,
            missing: missing,
            arrived: arrived,
            pending: state.pending,
            localGaps: plans.localGaps,
            node: state.node
        )
    }

    /// What the plans were compiled with; nil before that.
    package var facts: NodeFacts? {
        view.map { _ in configuration.facts(node: state.node, serviceCIDRs: state.serviceCIDRs) }
    }

    /// Every plan that there is, as compiled last.
    package func allPlans() -> [ServicePlan] { Array(plans.plans.values) }
}

/// What compiling brought.
package struct PlanUpdate: Sendable {
    /// The Services whose plans changed; nil: the Service is gone.
    package let plans: [(service: String, plan: ServicePlan?)]
    /// For every Service that was compiled.
    package let diagnostics: [(ObjectName, [Diagnostic])]
    package let facts: NodeFacts
    package let nodePortAddresses: [IPAddress]
    /// What was compiled.
    package let pending: PendingChanges
    /// For how long the first of it has waited.
    package let waited: Duration
}

/// The store at one moment, for those who watch.
package struct StoreSummary: Sendable {
    package let services: Int
    package let endpoints: Int
    /// The lists that are awaited, and those that have arrived.
    package let missing: Set<ClusterStore.List>
    package let arrived: Set<ClusterStore.List>
    package let pending: PendingChanges
    package let localGaps: [LocalGap: Int]
    package let node: Node?
}
