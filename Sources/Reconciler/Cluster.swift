package import KubernetesModel
package import NetworkTypes
package import PlanCompiler
package import ServicePlan

/// The objects of the cluster and what they mean on this node.
package struct Cluster: Sendable {
    package var configuration: NodeConfiguration
    package var state: ClusterState
    private var compiled = ClusterPlans()
    private var view: NodeView?
    private let listeningSockets: @Sendable () -> ListeningSockets
    /// Frontends of Services at addresses of the node, and what is told of them.
    private var occupied: [ObjectName: (keys: [FrontendKey], diagnostics: [Diagnostic])] = [:]

    /// - Parameter listeningSockets: reads what listens on the node
    package init(
        _ configuration: NodeConfiguration,
        endpointsFrom source: EndpointsSource = .endpointSlices,
        listeningSockets: @escaping @Sendable () -> ListeningSockets = { ListeningSockets() }
    ) {
        self.configuration = configuration
        self.listeningSockets = listeningSockets
        state = ClusterState(nodeName: configuration.nodeName, endpointsFrom: source)
    }

    /// Compiles what changed since the last time.
    ///
    /// - Parameter apiServers: by which addresses this program reaches the API server
    package mutating func compile(
        interfaceAddresses: [IPAddress],
        apiServers: Set<FrontendKey> = []
    ) -> PlanUpdate {
        let pending = state.pending
        let changes = state.takeChanges()
        let newView = configuration.view(
            node: state.node,
            interfaceAddresses: interfaceAddresses,
            apiServers: apiServers.union(state.apiServers)
        )
        let dirty = changes.services.union(services(touchedBy: newView))
        view = newView
        let update = compiled.update(dirty, for: newView, input: state.input)
        findOccupied(update.diagnosed, newView)
        return PlanUpdate(
            changes: update.changes,
            diagnostics: update.diagnosed.map { name in
                (name, (compiled.diagnostics[name] ?? []) + (occupied[name]?.diagnostics ?? []))
            } + state.nodeDiagnostics,
            facts: facts,
            nodePortAddresses: newView.nodePortAddresses + newView.localhostAddresses,
            pending: pending
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
    private mutating func findOccupied(_ services: Set<ObjectName>, _ view: NodeView) {
        var listening: ListeningSockets?
        for name in services {
            let ports = OccupiedPorts(compiled.plans[name], on: view)
            guard ports.keys != occupied[name]?.keys ?? [] else { continue }
            let sockets = listening ?? listeningSockets()
            listening = sockets
            let found = ports.diagnostics(of: name, sockets)
            occupied[name] = ports.keys.isEmpty ? nil : (ports.keys, found)
        }
    }

    /// Every plan that there is, as compiled last.
    package var plans: [ServicePlan] { Array(compiled.plans.values) }

    package var localGaps: [LocalGap: Int] { compiled.localGaps }

    package var isCompiled: Bool { view != nil }

    package var facts: NodeFacts {
        configuration.facts(node: state.node, serviceCIDRs: state.serviceCIDRs)
    }
}

/// What compiling brought.
package struct PlanUpdate: Sendable {
    package let changes: [PlanChange]
    /// For every Service of which something else may be told than before.
    package let diagnostics: [(ObjectName, [Diagnostic])]
    package let facts: NodeFacts
    package let nodePortAddresses: [IPAddress]
    /// What was compiled.
    package let pending: PendingChanges
}

/// A list of objects that is awaited before anything is programmed or deleted.
package enum ObjectList: String, Sendable, CaseIterable {
    case services, endpoints, nodes, serviceCIDRs

    /// Without it nothing can be programmed; the others are not waited for in vain.
    package var isEssential: Bool { self == .services || self == .endpoints }
}

/// The cluster at one moment, for those who watch.
package struct ClusterSummary: Sendable {
    package var services = 0
    package var endpoints = 0
    /// The lists that are awaited, and those that have arrived.
    package var missing: Set<ObjectList>
    package var arrived: Set<ObjectList> = []
    /// Changes of objects that are not compiled yet.
    package var pendingServices = 0
    package var pendingEndpoints = 0
    package var localGaps: [LocalGap: Int] = [:]
    package var node: Node?
}
