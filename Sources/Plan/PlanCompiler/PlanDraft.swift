internal import KubernetesModel
internal import NetworkTypes
internal import ServicePlan

/// A plan while it is being compiled.
struct PlanDraft {
    private let service: Service
    private let slices: [EndpointSlice]
    private let node: NodeView
    private(set) var plan: ServicePlan
    private var ownDiagnostics: DiagnosticList
    private var sliceDiagnostics: DiagnosticList
    private var poolIndex: [Pool: Int] = [:]
    private var clusterIPs: [IPAddress] = []
    /// The external IPs and load balancer VIPs.
    private var virtualIPs: [(address: IPAddress, kind: Frontend.Kind)] = []
    private var sources: SourceRanges

    init(service: Service, slices: [EndpointSlice], node: NodeView) {
        self.service = service
        self.slices = slices
        self.node = node
        plan = ServicePlan(service: service.name.description)
        sources = SourceRanges(of: service, node: node)
        ownDiagnostics = DiagnosticList(of: "Service \(service.name)")
        sliceDiagnostics = DiagnosticList(of: "EndpointSlices of Service \(service.name)")
        for problem in service.problems { report(problem) }
        for slice in slices {
            for problem in slice.problems {
                sliceDiagnostics.add(
                    Diagnostic("EndpointSlice \(slice.name)", problem),
                    count: problem.count
                )
            }
        }
    }

    var diagnostics: [Diagnostic] { ownDiagnostics.all + sliceDiagnostics.all }

    mutating func compile() {
        readAddresses()
        var localEndpoints = 0
        for family in IPFamily.allCases
        where service.clusterIPs.contains(where: { $0.family == family }) {
            var index = CandidateIndex(slices, family: family, node: node)
            for port in service.ports { add(port, family, &index) }
            if healthCheckPort != nil {
                localEndpoints += index.candidatesOfAllPorts().count {
                    $0.isReady && $0.endpoint.isLocal
                }
            }
        }
        plan.frontends.sort { ($0.key, $0.kind.precedence) < ($1.key, $1.kind.precedence) }
        plan.forwardedPorts.sort { $0.key < $1.key }
        mergeDuplicates()
        plan.scheduler = service.balancing.scheduler
        if !service.balancing.weights.isEmpty { plan.weights = weights() }
        if let port = healthCheckPort { addHealthCheck(port, localEndpoints) }
        if node.nodePortAddresses.isEmpty, node.localhostAddresses.isEmpty,
            service.ports.contains(where: { $0.nodePort != nil })
        {
            report(
                FieldProblem(
                    "spec.ports",
                    "no address of node \(node.name) answers on NodePorts: its Node object is unknown or"
                        + " has none; give --node-ip or --nodeport-addresses"
                )
            )
        }
    }

    /// Collects the addresses that the Service may use.
    private mutating func readAddresses() {
        for address in service.clusterIPs where isUsable(address, .clusterIP) {
            clusterIPs.append(address)
        }
        if node.allowsExternalIPs {
            for address in service.externalIPs where isUsable(address, .externalIP) {
                virtualIPs.append((address, .externalIP))
            }
        } else if !service.externalIPs.isEmpty {
            report(
                FieldProblem(
                    "spec.externalIPs",
                    "left out, since feature gate AllowServiceExternalIPs is off"
                )
            )
        }
        for address in service.loadBalancerVIPs where isUsable(address, .loadBalancerVIP) {
            virtualIPs.append((address, .loadBalancerVIP))
        }
    }

    private mutating func isUsable(_ address: IPAddress, _ kind: Frontend.Kind) -> Bool {
        guard let reason = node.refusal(of: address, kind) else { return true }
        report(FieldProblem(kind.field, reason), kind == .externalIP ? .frontendRefused : nil)
        return false
    }

    /// Adds the frontends of one port in one family.
    ///
    /// The endpoints are chosen as by `UsesClusterEndpoints` and `UsesLocalEndpoints` of
    /// `pkg/proxy/serviceport.go`.
    private mutating func add(
        _ port: ServicePort,
        _ family: IPFamily,
        _ index: inout CandidateIndex
    ) {
        let external = externalFrontends(port, family)
        let isExternalLocal =
            service.isExternallyAccessible && service.externalTrafficPolicy == .local
        let isInternalLocal = service.internalTrafficPolicy == .local
        let forwarded = node.forwardedKey(of: port, family)
        let selection = EndpointSelection(
            index.candidates(of: port),
            usesCluster: !isInternalLocal || !external.isEmpty || forwarded != nil,
            usesLocal: isInternalLocal || (isExternalLocal && !external.isEmpty),
            node: node
        )
        if let forwarded {
            // The only client is the node itself, to which policy Local does not apply.
            plan.forwardedPorts.append(
                ForwardedPort(
                    key: forwarded,
                    portName: port.name,
                    endpoints: selection.cluster.sorted(),
                    affinityTimeout: service.affinityTimeout
                )
            )
        }
        let cluster = pool(selection.cluster, selection, port)
        let local = pool(selection.local, selection, port)
        let nothing = selection.hasAny ? Frontend.Action.drop : .reject
        let inside = isInternalLocal ? local : cluster
        for address in clusterIPs where address.family == family {
            add(
                FrontendKey(address, port.transport, port.port),
                .clusterIP,
                port,
                action: inside.map { .balance(pool: $0) } ?? nothing,
                masquerade: node.masqueradesAll ? .everyone : .nonPods
            )
        }
        let outside: Frontend.Action =
            if isExternalLocal {
                cluster.map { .split(cluster: $0, local: local) } ?? .reject
            } else {
                cluster.map { .balance(pool: $0) } ?? nothing
            }
        for (key, kind) in external {
            add(
                key,
                kind,
                port,
                action: outside,
                masquerade: isExternalLocal ? .node : .everyone
            )
        }
    }

    private mutating func add(
        _ key: FrontendKey,
        _ kind: Frontend.Kind,
        _ port: ServicePort,
        action: Frontend.Action,
        masquerade: Frontend.Masquerade
    ) {
        plan.frontends.append(
            Frontend(
                key: key,
                kind: kind,
                portName: port.name,
                action: action,
                masquerade: masquerade,
                affinityTimeout: service.affinityTimeout,
                allowedSources: kind == .loadBalancerVIP ? sources.allowed(at: key.address) : nil
            )
        )
    }

    /// Returns the frontends outside the cluster IPs, with their kinds.
    private mutating func externalFrontends(
        _ port: ServicePort,
        _ family: IPFamily
    ) -> [(FrontendKey, Frontend.Kind)] {
        var found: [(FrontendKey, Frontend.Kind)] = []
        for (address, kind) in virtualIPs where address.family == family {
            append(FrontendKey(address, port.transport, port.port), kind, to: &found)
        }
        guard let number = port.nodePort else { return found }
        for address in node.nodePortAddresses where address.family == family {
            append(FrontendKey(address, port.transport, number), .nodePort, to: &found)
        }
        return found
    }

    private mutating func append(
        _ key: FrontendKey,
        _ kind: Frontend.Kind,
        to list: inout [(FrontendKey, Frontend.Kind)]
    ) {
        guard let reason = node.refusal(of: key, kind) else { return list.append((key, kind)) }
        report(FieldProblem(kind.field, reason), .frontendRefused)
    }

    /// Adds the health check, unless a frontend of the Service has its port: packets reach that
    /// first.
    private mutating func addHealthCheck(_ port: UInt16, _ localEndpoints: Int) {
        let addresses = Set(node.nodePortAddresses)
        let taken = plan.frontends.first {
            $0.key.port == port && $0.key.transport == .tcp && addresses.contains($0.key.address)
        }
        if let taken {
            return report(
                FieldProblem(
                    "spec.healthCheckNodePort",
                    "\(taken.key) is a frontend of this Service (\(taken.kind.name)); load balancers reach"
                        + " that, and health checks are not answered"
                ),
                .frontendConflict
            )
        }
        plan.healthCheck = HealthCheck(port: port, localEndpoints: localEndpoints)
    }

    /// The health check port; load balancers only need it if not every node serves them.
    private var healthCheckPort: UInt16? {
        service.type == .loadBalancer && service.externalTrafficPolicy == .local
            ? service.healthCheckNodePort : nil
    }

    private func weights() -> [IPAddress: UInt16] {
        let table = WeightTable(service.balancing)
        var weights: [IPAddress: UInt16] = [:]
        for endpoint in slices.lazy.flatMap(\.endpoints) {
            let weight = table.weight(of: endpoint.address, on: endpoint.place.nodeName)
            if weight != 1 { weights[endpoint.address] = weight }
        }
        return weights
    }

    /// The index of the pool with these endpoints, which frontends may share; nil without
    /// endpoints.
    private mutating func pool(
        _ endpoints: [Endpoint],
        _ selection: EndpointSelection,
        _ port: ServicePort
    ) -> Int? {
        guard !endpoints.isEmpty else { return nil }
        if let largest = node.largestPool, endpoints.count > largest {
            report(
                FieldProblem(
                    "spec.ports",
                    "port \(port.port)/\(port.transport) has \(endpoints.count) endpoints, of which"
                        + " \(endpoints.count - largest) get no connections: mode nftables spreads them"
                        + " over \(largest) at most; divide the Service, or use mode ipvs"
                ),
                .tooManyEndpoints
            )
        }
        let chosen = selection.draining.isEmpty ? [] : Set(endpoints)
        let pool = Pool(endpoints, draining: selection.draining.filter { !chosen.contains($0) })
        if let index = poolIndex[pool] { return index }
        plan.pools.append(pool)
        poolIndex[pool] = plan.pools.count - 1
        return plan.pools.count - 1
    }

    /// Merges frontends with the same key into the first by `Kind.precedence`.
    ///
    /// The result is restricted to the allowed sources of any of them.
    private mutating func mergeDuplicates() {
        var kept: [Frontend] = []
        for frontend in plan.frontends {
            guard var first = kept.last, first.key == frontend.key else {
                kept.append(frontend)
                continue
            }
            // If two are restricted, the ranges are equal: it is one Service at one address.
            first.allowedSources = first.allowedSources ?? frontend.allowedSources
            kept[kept.count - 1] = first
            if let lost = first.contradiction(with: frontend) {
                report(FieldProblem(frontend.kind.field, lost))
            }
        }
        plan.frontends = kept
    }

    private mutating func report(_ problem: FieldProblem, _ event: Diagnostic.Event? = nil) {
        ownDiagnostics.add(
            Diagnostic("Service \(service.name)", problem, event: event),
            count: problem.count
        )
    }
}

extension Frontend {
    /// The conflict with another frontend of the Service that has the same key; nil if there is
    /// none.
    fileprivate func contradiction(with other: Frontend) -> String? {
        if portName != other.portName {
            return
                "\(key) is asked for by ports \"\(portName)\" and \"\(other.portName)\"; it leads to the"
                + " endpoints of \"\(portName)\""
        }
        guard action != other.action || masquerade != other.masquerade else { return nil }
        return "\(key) is a frontend as \(kind.name) and as \(other.kind.name); it is programmed as"
            + " \(kind.name), with the traffic policy of that"
    }
}

extension Frontend.Kind {
    /// The rank of the kind when one Service uses an address and port in several ways; lower wins.
    ///
    /// Those that the API server allots come first.
    var precedence: Int {
        switch self {
        case .clusterIP: 0
        case .nodePort: 1
        case .loadBalancerVIP: 2
        case .externalIP: 3
        }
    }

    var field: String {
        switch self {
        case .clusterIP: "spec.clusterIPs"
        case .externalIP: "spec.externalIPs"
        case .loadBalancerVIP: "status.loadBalancer.ingress"
        case .nodePort: "spec.ports"
        }
    }
}
