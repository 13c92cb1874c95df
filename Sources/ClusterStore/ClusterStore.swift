package import KubernetesModel
package import NetworkTypes
package import PlanCompiler
package import ServicePlan
internal import Synchronization

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
    /// By which this program reaches the API server.
    private let apiServers: APIServerAddresses
    private let listeningSockets: @Sendable () -> ListeningSockets
    /// Frontends of Services at addresses of the node, and what is told of them.
    private var occupied: [ObjectName: (keys: [FrontendKey], diagnostics: [Diagnostic])] = [:]
    private var missing: Set<List>
    private var arrived: Set<List> = []
    /// When the first change arrived that is not compiled yet.
    private var pendingSince: ContinuousClock.Instant?
    private nonisolated let published: Mutex<StoreSummary>
    private let doorbell: AsyncStream<Void>.Continuation
    /// Yields after changes, once every list is there; changes meanwhile are one.
    package nonisolated let changes: AsyncStream<Void>

    /// - Parameter listeningSockets: reads what listens on the node
    package init(
        _ configuration: NodeConfiguration,
        endpointsFrom source: EndpointsSource = .endpointSlices,
        awaiting lists: Set<List>,
        apiServers: APIServerAddresses = APIServerAddresses(),
        listeningSockets: @escaping @Sendable () -> ListeningSockets = { ListeningSockets() }
    ) {
        self.configuration = configuration
        self.apiServers = apiServers
        self.listeningSockets = listeningSockets
        state = ClusterState(nodeName: configuration.nodeName, endpointsFrom: source)
        missing = lists
        published = Mutex(StoreSummary(missing: lists))
        (changes, doorbell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        apiServers.onChange { [weak self] in
            guard let self, summary.missing.isEmpty else { return }
            doorbell.yield()
        }
    }

    package var isComplete: Bool { missing.isEmpty }

    /// The lists that are still awaited.

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
        publish()
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
        let newView = configuration.view(
            node: state.node,
            interfaceAddresses: interfaceAddresses,
            apiServers: apiServers.all.union(state.apiServers)
        )
        let dirty = changes.services.union(services(touchedBy: newView))
        view = newView
        let update = plans.update(dirty, for: newView, input: state.input)
        findOccupied(update.diagnosed, newView)
        publish()
        return PlanUpdate(
            plans: update.plans,
            replaced: update.replaced,
            diagnostics: update.diagnosed.map { name in
                (name, (plans.diagnostics[name] ?? []) + (occupied[name]?.diagnostics ?? []))
            } + state.nodeDiagnostics,
            facts: configuration.facts(node: state.node, serviceCIDRs: state.serviceCIDRs),
            nodePortAddresses: newView.nodePortAddresses + newView.localhostAddresses,
            pending: pending,
            waited: waited
        )
    }

    /// The Services that a change of the node concerns; unchanged plans go no further than this.
    private func services(touchedBy newView: NodeView) -> [ObjectName] {
        guard var same = view, same != newView else {
            return view == nil ? Array(state.services.keys) : []
        }
        // Addresses come and go, and matter for few.
        same.addresses = newView.addresses
        return same == newView ? state.servicesWithVirtualIPs : Array(state.services.keys)
    }

    /// Looks for what listens where Services have frontends, if those have changed.
    private func findOccupied(_ services: Set<ObjectName>, _ view: NodeView) {
        var listening: ListeningSockets?
        for name in services {
            let ports = OccupiedPorts(plans.plans[name], on: view)
            guard ports.keys != occupied[name]?.keys ?? [] else { continue }
            let sockets = listening ?? listeningSockets()
            listening = sockets
            let found = ports.diagnostics(of: name, sockets)
            occupied[name] = ports.keys.isEmpty ? nil : (ports.keys, found)
        }
    }

    /// What there is, and what waits to be compiled, as of the last change.
    ///
    /// Never waits: who asks for health is answered while everything is compiled.
    package nonisolated var summary: StoreSummary { published.withLock { $0 } }

    private func publish() {
        let summary = StoreSummary(
            services: state.services.count,
            endpoints: state.endpointCount,
            missing: missing,
            arrived: arrived,
            pendingServices: state.pending.services,
            pendingEndpoints: state.pending.endpoints,
            localGaps: plans.localGaps,
            node: state.node
        )
        published.withLock { $0 = summary }
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
    /// What those had before that were there.
    package let replaced: [String: ServicePlan]
    /// For every Service of which something else may be told than before.
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
    package var services = 0
    package var endpoints = 0
    /// The lists that are awaited, and those that have arrived.
    package var missing: Set<ClusterStore.List>
    package var arrived: Set<ClusterStore.List> = []
    /// Changes of objects that are not compiled yet.
    package var pendingServices = 0
    package var pendingEndpoints = 0
    package var localGaps: [LocalGap: Int] = [:]
    package var node: Node?
}
