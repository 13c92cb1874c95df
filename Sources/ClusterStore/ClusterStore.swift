package import KubernetesModel
package import NetworkTypes
package import PlanCompiler
package import ServicePlan
internal import Synchronization

/// The objects of the cluster and their plans, between the sources and the syncer.
///
/// Plans are compiled here, so that the state is never copied.
package actor ClusterStore {
    /// The lists that must arrive before anything is programmed or deleted.
    package enum List: String, Sendable, CaseIterable {
        case services, endpoints, nodes, serviceCIDRs

        /// Whether nothing can be programmed without the list; a wait for other lists may be ended.
        package var isEssential: Bool { self == .services || self == .endpoints }
    }

    private var configuration: NodeConfiguration
    private var state: ClusterState
    private var plans = ClusterPlans()
    private var view: NodeView?
    /// The addresses at which this program reaches the API server.
    private let apiServers: APIServerAddresses
    private let listeningSockets: @Sendable () -> ListeningSockets
    /// The frontends of Services at addresses of the node, and the diagnostics about them.
    private var occupied: [ObjectName: (keys: [FrontendKey], diagnostics: [Diagnostic])] = [:]
    private var missing: Set<List>
    private var arrived: Set<List> = []
    /// The time of the first change that has not been compiled yet.
    private var pendingSince: ContinuousClock.Instant?
    private nonisolated let published: Mutex<StoreSummary>
    private let doorbell: AsyncStream<Void>.Continuation
    /// Yields after changes once every list has arrived; several changes at once yield once.
    package nonisolated let changes: AsyncStream<Void>

    /// Makes a store without objects.
    ///
    /// - Parameter listeningSockets: reads the sockets that listen on the node
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

    /// Stops waiting for a list that is not essential; it may still arrive later.
    ///
    /// - Returns: whether the list was still awaited
    @discardableResult
    package func waive(_ list: List) -> Bool {
        guard !list.isEssential, missing.remove(list) != nil else { return false }
        ring()
        return true
    }

    /// Changes the state; `completing` names a list that has thereby arrived in full.
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

    /// Applies a new configuration of the node; everything is compiled again.
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

    /// Compiles the changes since the last call.
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

    /// Returns the Services that a change of the node may affect; the update drops unchanged plans.
    private func services(touchedBy newView: NodeView) -> [ObjectName] {
        guard var same = view, same != newView else {
            return view == nil ? Array(state.services.keys) : []
        }
        // Interface addresses come and go, and matter for few Services.
        same.addresses = newView.addresses
        return same == newView ? state.servicesWithVirtualIPs : Array(state.services.keys)
    }

    /// Looks for listening sockets behind the frontends of Services whose frontends have changed.
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

    /// The counts of objects and pending changes, as of the last change.
    ///
    /// Reading it never waits, so health requests are answered even while everything is compiled.
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

    /// The facts about the node that the plans were compiled with; nil before the first
    /// compilation.
    package var facts: NodeFacts? {
        view.map { _ in configuration.facts(node: state.node, serviceCIDRs: state.serviceCIDRs) }
    }

    /// Returns all plans as last compiled.
    package func allPlans() -> [ServicePlan] { Array(plans.plans.values) }
}

/// The result of a compilation.
package struct PlanUpdate: Sendable {
    /// The Services whose plans have changed; the plan is nil if the Service is gone.
    package let plans: [(service: String, plan: ServicePlan?)]
    /// The old plans of the changed Services that had one.
    package let replaced: [String: ServicePlan]
    /// The diagnostics of every Service whose diagnostics may have changed.
    package let diagnostics: [(ObjectName, [Diagnostic])]
    package let facts: NodeFacts
    package let nodePortAddresses: [IPAddress]
    /// The changes that were compiled.
    package let pending: PendingChanges
    /// How long the first of these changes had waited.
    package let waited: Duration
}

/// The state of the store at one moment, for health checks and metrics.
package struct StoreSummary: Sendable {
    package var services = 0
    package var endpoints = 0
    /// The lists that are still awaited.
    package var missing: Set<ClusterStore.List>
    package var arrived: Set<ClusterStore.List> = []
    /// The number of Service changes that are not compiled yet.
    package var pendingServices = 0
    package var pendingEndpoints = 0
    package var localGaps: [LocalGap: Int] = [:]
    package var node: Node?
}
