package import KubernetesModel
package import NetworkTypes
package import PlanCompiler
package import ServicePlan

/// The objects of the cluster and the plans that they compile to on this node.
package struct Cluster: Sendable {
    package var configuration: NodeConfiguration
    package var state: ClusterState
    private var compiled = ClusterPlans()
    private var view: NodeView?
    private var lastFacts = NodeFacts()
    private let listeningSockets: @Sendable () -> ListeningSockets
    /// For each Service, its frontends at addresses of the node, and the diagnostics about sockets
    /// that listen there.
    private var occupied: [ObjectName: (keys: [FrontendKey], diagnostics: [Diagnostic])] = [:]
    /// Addresses of a few endpoints on this node, of which some may have gone: a sample of its pods.
    private(set) var localEndpoints: [IPAddress] = []

    /// - Parameter listeningSockets: reads the sockets that listen on the node
    package init(
        _ configuration: NodeConfiguration,
        endpointsFrom source: EndpointsSource = .endpointSlices,
        listeningSockets: @escaping @Sendable () -> ListeningSockets = { ListeningSockets() }
    ) {
        self.configuration = configuration
        self.listeningSockets = listeningSockets
        state = ClusterState(nodeName: configuration.nodeName, endpointsFrom: source)
    }

    /// Compiles the changes since the last call.
    ///
    /// - Parameters:
    /// - apiServers: the addresses and ports at which this program reaches API servers
    /// - continuing: whether this completes the work of `compileFirst`
    package mutating func compile(
        interfaceAddresses: [IPAddress],
        apiServers: Set<FrontendKey> = [],
        continuing: Bool = false
    ) -> PlanUpdate {
        let pending = state.pending
        let changes = state.takeChanges()
        let newView = newView(interfaceAddresses, apiServers)
        let dirty = changes.services.union(services(touchedBy: newView))
        let newFacts = facts
        let nodeChanges = nodeChanges(to: newView, newFacts)
        (view, lastFacts) = (newView, newFacts)
        let update = compiled.update(
            dirty,
            for: newView,
            continuing: continuing,
            input: state.input
        )
        findOccupied(update.diagnosed, newView)
        noteLocalEndpoints(update.changes)
        return PlanUpdate(
            changes: update.changes,
            diagnostics: update.diagnosed.map { name in
                (name, (compiled.diagnostics[name] ?? []) + (occupied[name]?.diagnostics ?? []))
            } + state.nodeDiagnostics,
            facts: newFacts,
            nodePortAddresses: newView.nodePortAddresses + newView.localhostAddresses,
            nodeChanges: nodeChanges,
            pending: pending
        )
    }

    /// Compiles only these Services, before anything else was compiled; all changes stay to be
    /// compiled.
    ///
    /// - Returns: the changes of plans
    mutating func compileFirst(
        _ services: [ObjectName],
        interfaceAddresses: [IPAddress],
        apiServers: Set<FrontendKey>
    ) -> [PlanChange] {
        let newView = newView(interfaceAddresses, apiServers)
        (view, lastFacts) = (newView, facts)
        let changes = compiled.update(services, for: newView, input: state.input).changes
        noteLocalEndpoints(changes)
        return changes
    }

    private func newView(
        _ interfaceAddresses: [IPAddress],
        _ apiServers: Set<FrontendKey>
    ) -> NodeView {
        configuration.view(
            node: state.node,
            interfaceAddresses: interfaceAddresses,
            apiServers: apiServers.union(state.apiServers)
        )
    }

    /// Takes the plans of a copy in which all changes were compiled that this cluster had then; later
    /// changes stay to be compiled.
    mutating func take(plansOf copy: Cluster) {
        let state = state
        let configuration = configuration
        self = copy
        (self.state, self.configuration) = (state, configuration)
    }

    /// Returns the Services whose plans may change because the node has changed.
    private func services(touchedBy newView: NodeView) -> [ObjectName] {
        guard var same = view, same != newView else {
            return view == nil ? Array(state.serviceNames) : []
        }
        // Addresses of the node change often and matter only to Services with virtual IPs.
        same.addresses = newView.addresses
        return same == newView ? state.servicesWithVirtualIPs : Array(state.serviceNames)
    }

    /// Returns what has changed about the node since the last compilation, as text.
    private func nodeChanges(to newView: NodeView, _ newFacts: NodeFacts) -> [String] {
        guard let view, view != newView || lastFacts != newFacts else { return [] }
        return view.changes(to: newView) + lastFacts.changes(to: newFacts)
    }

    /// Looks for sockets that occupy the ports of these Services, if their frontends have changed.
    private mutating func findOccupied(_ services: Set<ObjectName>, _ view: NodeView) {
        var listening: ListeningSockets?
        for name in services {
            let ports = OccupiedPorts(compiled.plan(of: name), on: view)
            guard ports.keys != occupied[name]?.keys ?? [] else { continue }
            let sockets = listening ?? listeningSockets()
            listening = sockets
            let found = ports.diagnostics(of: name, sockets)
            occupied[name] = ports.keys.isEmpty ? nil : (ports.keys, found)
        }
    }

    private mutating func noteLocalEndpoints(_ changes: [PlanChange]) {
        var sample: [IPAddress] = []
        for endpoint in changes.lazy.compactMap(\.new).flatMap(\.pools).flatMap(\.endpoints)
        where endpoint.isLocal && !sample.contains(endpoint.address) {
            sample.append(endpoint.address)
            if sample.count == Self.sampleSize { break }
        }
        guard !sample.isEmpty else { return }
        let known = localEndpoints.filter { !sample.contains($0) }
        localEndpoints = Array((sample + known).prefix(Self.sampleSize))
    }

    private static let sampleSize = 8

    /// All plans, as last compiled.
    package var plans: [ServicePlan] { Array(compiled.plans) }

    var planCount: Int { compiled.count }

    func plan(of service: ObjectName) -> ServicePlan? { compiled.plan(of: service) }

    /// The addresses that were given for the node, or the first of each family that it has.
    var primaryAddresses: [IPAddress] { view?.primaryAddresses ?? [] }

    package var localGaps: [LocalGap: Int] { compiled.localGaps }

    package var isCompiled: Bool { view != nil }

    package var facts: NodeFacts {
        configuration.facts(node: state.node, serviceCIDRs: state.serviceCIDRs)
    }
}

/// The result of a compilation.
package struct PlanUpdate: Sendable {
    package let changes: [PlanChange]
    /// The diagnostics of every Service for which they may have changed.
    package let diagnostics: [(ObjectName, [Diagnostic])]
    package let facts: NodeFacts
    package let nodePortAddresses: [IPAddress]
    /// What has changed about the node since the last compilation, as text.
    package let nodeChanges: [String]
    /// The changes of objects that this compilation took in.
    package let pending: PendingChanges
}

/// A list of objects that must arrive before anything is programmed or deleted.
package enum ObjectList: String, Sendable, CaseIterable {
    case services, endpoints, nodes, serviceCIDRs

    /// Whether nothing can be programmed without the list; waiting for other lists may be given up.
    package var isEssential: Bool { self == .services || self == .endpoints }
}

/// The state of the cluster at one moment, for metrics, health and status.
package struct ClusterSummary: Sendable {
    package var services = 0
    package var endpoints = 0
    /// The lists that are still awaited.
    package var missing: Set<ObjectList>
    package var arrived: Set<ObjectList> = []
    /// The numbers of changes of objects that are not compiled yet.
    package var pendingServices = 0
    package var pendingEndpoints = 0
    package var localGaps: [LocalGap: Int] = [:]
    package var node: Node?
    package var primaryAddresses: [IPAddress] = []
    /// Addresses of a few endpoints on this node.
    package var localEndpoints: [IPAddress] = []

    /// The addresses by which other nodes know this one.
    package var nodeAddresses: [IPAddress] {
        Set((node?.addresses ?? []) + primaryAddresses).sorted()
    }
}
