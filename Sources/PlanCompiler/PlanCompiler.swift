package import KubernetesModel
internal import NetworkTypes
package import ServicePlan

/// Turns one Service and its EndpointSlices into its plan; pure, so it runs anywhere.
package struct PlanCompiler: Sendable {
    package let node: NodeView

    package init(node: NodeView) { self.node = node }

    /// The plan of the Service, or nil if it is none of this proxy's business.
    ///
    /// Bad values never fail: they are left out and reported.
    package func compile(
        _ service: Service,
        _ slices: some Sequence<EndpointSlice>
    ) -> (plan: ServicePlan?, diagnostics: [Diagnostic]) {
        guard !service.belongsToOtherProxy, service.type != .externalName, !service.isHeadless
        else {
            return (nil, [])
        }
        var draft = PlanDraft(service: service, slices: Array(slices), node: node)
        draft.compile()
        return (draft.plan, draft.diagnostics)
    }
}

extension Service {
    /// `spec.clusterIP: None`, or no cluster IP (yet).
    fileprivate var isHeadless: Bool { clusterIPs.isEmpty }
}

/// The plan while it is made.
private struct PlanDraft {
    let service: Service
    let slices: [EndpointSlice]
    let node: NodeView
    var plan: ServicePlan
    var diagnostics: [Diagnostic]
    var poolIndex: [Pool: Int] = [:]

    init(service: Service, slices: [EndpointSlice], node: NodeView) {
        self.service = service
        self.slices = slices
        self.node = node
        plan = ServicePlan(service: service.name.description)
        diagnostics =
            service.problems.map { Diagnostic("Service \(service.name)", $0) }
            + slices.flatMap { slice in
                slice.problems.map { Diagnostic("EndpointSlice \(slice.name)", $0) }
            }
    }

    mutating func compile() {
        for family in IPFamily.allCases
        where service.clusterIPs.contains(where: { $0.family == family }) {
            for port in service.ports { add(port, family) }
        }
        plan.frontends.sort { $0.key < $1.key }
        plan.forwardedPorts.sort { $0.key < $1.key }
        dropDuplicates()
        plan.scheduler = service.balancing.scheduler
        if !service.balancing.weights.isEmpty { plan.weights = weights() }
        plan.healthCheck = healthCheck
        if !node.allowsExternalIPs, !service.externalIPs.isEmpty {
            report(
                "spec.externalIPs",
                "left out, since feature gate AllowServiceExternalIPs is off"
            )
        }
        if node.nodePortAddresses.isEmpty, node.localhostAddresses.isEmpty,
            service.ports.contains(where: { $0.nodePort != nil })
        {
            report(
                "spec.ports",
                "no address of node \(node.name) answers on NodePorts: its Node object is unknown or"
                    + " has none; give --node-ip or --nodeport-addresses"
            )
        }
    }

    /// Adds the frontends of one port in one family.
    ///
    /// Which endpoints they need: `UsesClusterEndpoints` and `UsesLocalEndpoints` of
    /// `pkg/proxy/serviceport.go`.
    private mutating func add(_ port: ServicePort, _ family: IPFamily) {
        let external = externalAddresses(port, family)
        let isExternalLocal =
            service.isExternallyAccessible && service.externalTrafficPolicy == .local
        let isInternalLocal = service.internalTrafficPolicy == .local
        let forwarded = node.forwardedKey(of: port, family)
        let selection = EndpointSelection(
            candidates(of: port, family: family, in: slices, node: node),
            usesCluster: !isInternalLocal || !external.isEmpty || forwarded != nil,
            usesLocal: isInternalLocal || (isExternalLocal && !external.isEmpty),
            node: node
        )
        if let forwarded {
            // Its only client is the node itself, which policy Local does not bind.
            plan.forwardedPorts.append(
                ForwardedPort(
                    key: forwarded,
                    portName: port.name,
                    endpoints: selection.cluster.sorted(),
                    affinityTimeout: service.affinityTimeout
                )
            )
        }
        for address in service.clusterIPs where address.family == family {
            add(
                address,
                port.port,
                .clusterIP,
                port,
                action: action(isInternalLocal ? selection.local : selection.cluster, selection),
                masquerade: node.masqueradesAll ? .everyone : .nonPods
            )
        }
        for (address, number, kind) in external {
            add(
                address,
                number,
                kind,
                port,
                action: isExternalLocal
                    ? splitAction(selection) : action(selection.cluster, selection),
                masquerade: isExternalLocal ? .node : .everyone
            )
        }
    }

    private mutating func add(
        _ address: IPAddress,
        _ number: UInt16,
        _ kind: Frontend.Kind,
        _ port: ServicePort,
        action: Frontend.Action,
        masquerade: Frontend.Masquerade
    ) {
        if kind != .nodePort, let reason = address.reasonNotForServices {
            return report(kind.field, "\(address) \(reason); no Service is programmed there")
        }
        plan.frontends.append(
            Frontend(
                key: FrontendKey(address, port.transport, number),
                kind: kind,
                portName: port.name,
                action: action,
                masquerade: masquerade,
                affinityTimeout: service.affinityTimeout,
                allowedSources: kind == .loadBalancerVIP ? allowedSources(address) : nil
            )
        )
    }

    /// The addresses and port numbers beside the cluster IP.
    private func externalAddresses(
        _ port: ServicePort,
        _ family: IPFamily
    ) -> [(IPAddress, UInt16, Frontend.Kind)] {
        let externalIPs = node.allowsExternalIPs ? service.externalIPs : []
        let vips =
            externalIPs.map { ($0, port.port, Frontend.Kind.externalIP) }
            + service.loadBalancerVIPs.map { ($0, port.port, .loadBalancerVIP) }
        let nodePorts = port.nodePort.map { number in
            node.nodePortAddresses.map { ($0, number, Frontend.Kind.nodePort) }
        }
        return (vips + (nodePorts ?? [])).filter { $0.0.family == family }
    }

    /// Load balancers ask only where not every node serves them.
    private var healthCheck: HealthCheck? {
        guard service.type == .loadBalancer, service.externalTrafficPolicy == .local,
            let port = service.healthCheckNodePort
        else { return nil }
        let local = slices.lazy.flatMap(\.endpoints).filter {
            $0.isReady && $0.nodeName == node.name
        }
        return HealthCheck(port: port, localEndpoints: Set(local.map(\.address)).count)
    }

    private func weights() -> [IPAddress: UInt16] {
        var weights: [IPAddress: UInt16] = [:]
        for endpoint in slices.flatMap(\.endpoints) {
            let weight = service.balancing.weight(of: endpoint.address, on: endpoint.nodeName)
            if weight != 1 { weights[endpoint.address] = weight }
        }
        return weights
    }

    private mutating func action(
        _ endpoints: [Endpoint],
        _ selection: EndpointSelection
    ) -> Frontend.Action {
        guard endpoints.isEmpty else { return .balance(pool: pool(endpoints, selection)) }
        return selection.hasAny ? .drop : .reject
    }

    private mutating func splitAction(_ selection: EndpointSelection) -> Frontend.Action {
        guard !selection.cluster.isEmpty else { return .reject }
        let local = selection.local.isEmpty ? nil : pool(selection.local, selection)
        return .split(cluster: pool(selection.cluster, selection), local: local)
    }

    /// The index of the pool with these endpoints, which frontends share.
    private mutating func pool(_ endpoints: [Endpoint], _ selection: EndpointSelection) -> Int {
        let chosen = Set(endpoints)
        let pool = Pool(endpoints, draining: selection.draining.filter { !chosen.contains($0) })
        if let index = poolIndex[pool] { return index }
        plan.pools.append(pool)
        poolIndex[pool] = plan.pools.count - 1
        return plan.pools.count - 1
    }

    /// The sources that may use a load balancer's VIP; nil: all.
    ///
    /// Ranges of the other family alone restrict nobody, as in kube-proxy. Ranges of which none
    /// could be read admit nobody: a restriction was asked for. A node inside the ranges may
    /// reach a VIP bound to itself, so the VIP is a source then (`serviceport.go` and
    /// `nftables/proxier.go`, allowFromNode).
    private func allowedSources(_ vip: IPAddress) -> [IPPrefix]? {
        guard let ranges = service.loadBalancerSourceRanges else { return nil }
        guard !ranges.isEmpty else { return [] }
        var own = ranges.filter { $0.family == vip.family }
        if own.isEmpty || own.contains(where: { $0.length == 0 }) { return nil }
        let ranged = own
        let isNodeAllowed = node.primaryAddresses.contains { address in
            ranged.contains { $0.contains(address) }
        }
        if isNodeAllowed { own.append(IPPrefix(host: vip)) }
        return IPPrefix.aggregated(own)
    }

    /// Keeps the first of the frontends with one key: a cluster IP before an external one, and
    /// so on in the order of `Frontend.Kind`.
    private mutating func dropDuplicates() {
        var kept: [Frontend] = []
        for frontend in plan.frontends {
            guard let last = kept.last, last.key == frontend.key else {
                kept.append(frontend)
                continue
            }
            if frontend.kind.rawValue < last.kind.rawValue { kept[kept.count - 1] = frontend }
            guard frontend.portName != last.portName else { continue }
            report("spec.ports", "\(frontend.key) is given twice; only one port is programmed")
        }
        plan.frontends = kept
    }

    private mutating func report(_ field: String, _ reason: String) {
        let diagnostic = Diagnostic("Service \(service.name)", FieldProblem(field, reason))
        if !diagnostics.contains(diagnostic) { diagnostics.append(diagnostic) }
    }
}

extension Frontend.Kind {
    fileprivate var field: String {
        switch self {
        case .clusterIP: "spec.clusterIPs"
        case .externalIP: "spec.externalIPs"
        case .loadBalancerVIP: "status.loadBalancer.ingress"
        case .nodePort: "spec.ports"
        }
    }
}
