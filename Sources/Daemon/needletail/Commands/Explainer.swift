internal import Backend
internal import KubernetesModel
internal import Netlink
internal import NetworkTypes
internal import Reconciler
internal import PlanCompiler
internal import ServicePlan

/// Answers `explain` from the desired state and the kernel's.
struct Explainer {
    let snapshot: Snapshot
    let configuration: NodeConfiguration
    let backend: Result<any Backend, CommitError>
    let clients: ClientChoice

    init(
        snapshot: Snapshot,
        configuration: NodeConfiguration,
        backend: Result<any Backend, CommitError>
    ) {
        (self.snapshot, self.configuration, self.backend) = (snapshot, configuration, backend)
        clients = ClientChoice(snapshot)
    }

    /// The same of another state of the cluster.
    func with(_ snapshot: Snapshot) -> Explainer {
        Explainer(snapshot: snapshot, configuration: configuration, backend: backend)
    }

    func explain(_ wanted: Wanted, from source: ConnectionSource?) async throws -> Explanation {
        let client = source?.address
        let plans = try plans(wanted)
        let node = Explanation.Node(
            name: snapshot.view.name,
            zone: snapshot.view.zone,
            primaryAddresses: snapshot.view.primaryAddresses.map(\.description),
            nodePortAddresses: (snapshot.view.nodePortAddresses
                + snapshot.view.localhostAddresses).map(\.description),
            podCIDRs: snapshot.facts.podCIDRs.map(\.description),
            serviceCIDRs: snapshot.facts.serviceCIDRs.map(\.description)
        )
        let kind = client.map(clients.kind)
        let asking = source.flatMap { source in kind.map { (client: source, kind: $0) } }
        var frontends: [Explanation.Frontend] = []
        var checks: [FlowCheck] = []
        for plan in plans {
            for frontend in plan.frontends where isWanted(wanted, frontend.key) {
                let (explained, wanted) = await explain(frontend, of: plan, asking)
                frontends.append(explained)
                checks += self.checks(frontend, of: plan, asking, wanted: wanted)
            }
        }
        var evaluated: Result<Void, CommitError> = .success(())
        do throws(CommitError) {
            try await evaluate(checks, &frontends)
        } catch { evaluated = .failure(error) }
        let forwarded = plans.flatMap { plan in
            plan.forwardedPorts.filter { isWanted(wanted, $0.key) }.map { port in
                let label = port.portName.isEmpty ? "" : ":\(port.portName)"
                return Explanation.Forwarded(
                    frontend: port.key.description,
                    service: plan.service + label,
                    endpoints: port.endpoints.map(\.description),
                    affinitySeconds: port.affinityTimeout
                )
            }
        }
        return Explanation(
            services: plans.map(\.service),
            diagnostics: claimants(wanted, plans).flatMap { snapshot.diagnostics(of: $0) }
                .map(\.description),
            unserved: frontends.isEmpty && forwarded.isEmpty ? whyUnserved(wanted) : nil,
            client: asking.map {
                Explanation.Client(address: "\($0.client.address)", kind: $0.kind)
            },
            frontends: frontends,
            forwarded: forwarded,
            connections: source.flatMap { try? connections($0, frontends) },
            node: node,
            kernel: await kernel(frontends, of: plans, evaluated: evaluated)
        )
    }

    private func plans(_ wanted: Wanted) throws -> [ServicePlan] {
        switch wanted {
        case .service(let name):
            let found = snapshot.plans.filter { $0.service == name }
            guard found.isEmpty else { return found }
            guard let service = snapshot.state.service(ObjectName(name)) else {
                throw Failure("there is no Service \(name)")
            }
            let why =
                service.belongsToOtherProxy
                ? "it has the label service.kubernetes.io/service-proxy-name: another proxy serves it"
                : service.type == .externalName
                    ? "it is of type ExternalName: DNS serves it"
                    : "it has no cluster IP: it is headless (DNS serves it), or has got none yet"
            throw Failure("Service \(name) is not programmed: \(why)")
        case .frontend:
            return snapshot.plans.filter {
                $0.frontends.contains { wanted.includes($0.key) }
                    || $0.forwardedPorts.contains { wanted.includes($0.key) }
            }
        }
    }

    /// The Services that have what is wanted, and those that ask for its address.
    private func claimants(_ wanted: Wanted, _ plans: [ServicePlan]) -> [ObjectName] {
        var names = Set(plans.map { ObjectName($0.service) })
        if case .frontend(let address, _, _) = wanted {
            for service in snapshot.state.allServices {
                let asked = service.clusterIPs + service.externalIPs + service.loadBalancerVIPs
                if asked.contains(address) { names.insert(service.name) }
            }
        }
        return names.sorted()
    }

    private func isWanted(_ wanted: Wanted, _ key: FrontendKey) -> Bool {
        if case .service = wanted { return true }
        return wanted.includes(key)
    }

    private func whyUnserved(_ wanted: Wanted) -> String? {
        guard case .frontend(let address, _, _) = wanted else { return nil }
        return whyUnserved(address)
    }

    /// What happens to packets to an address, at a port that no Service has there.
    func whyUnserved(_ address: IPAddress) -> String {
        let isClusterIP = snapshot.plans.contains {
            $0.frontends.contains { $0.kind == .clusterIP && $0.key.address == address }
        }
        if address.isLoopback {
            return snapshot.view.localhostAddresses.contains(address)
                ? "passed untouched: no Service has this NodePort"
                : "passed untouched: NodePorts answer on \(address) only with the word localhost among"
                    + " nodePortAddresses (--nodeport-addresses)"
        }
        if isClusterIP { return "rejected: the cluster IP has no such port" }
        if snapshot.facts.serviceCIDRs.contains(where: { $0.contains(address) }) {
            return "dropped: no Service has this address of the ServiceCIDR"
        }
        return "passed untouched: no Service has this address and port"
    }

    /// What the API wants for clients of a kind, which may have certain addresses.
    typealias Wish = (FlowExplanation.Client, [IPPrefix]) -> FlowExplanation

    func wish(_ frontend: Frontend, of plan: ServicePlan) -> Wish {
        let family = frontend.key.address.family
        let input = snapshot.state.input(ObjectName(plan.service))
        let absence = input?.service.port(of: frontend).map {
            PlanCompiler(node: snapshot.view).absenceReason($0, family, in: input?.slices ?? [])
        }
        let canTellPods = snapshot.facts.localDetection(family) != .none
        return { kind, sources in
            FlowExplanation(
                frontend,
                of: plan,
                from: kind,
                sources: sources,
                canTellPods: canTellPods,
                absence: absence ?? "no endpoint anywhere"
            )
        }
    }

    private func explain(
        _ frontend: Frontend,
        of plan: ServicePlan,
        _ source: (client: ConnectionSource, kind: FlowExplanation.Client)?
    ) async -> (Explanation.Frontend, wanted: Wish) {
        let family = frontend.key.address.family
        let input = snapshot.state.input(ObjectName(plan.service))
        let port = input?.service.port(of: frontend)
        let compiler = PlanCompiler(node: snapshot.view)
        let slices = input?.slices ?? []
        let flow = wish(frontend, of: plan)
        let kernel = await inspect(frontend, source?.client.address)
        let explained = Explanation.Frontend(
            key: frontend.key,
            service: plan.portLabel(frontend),
            kind: frontend.kind.name,
            flows: Dictionary(
                uniqueKeysWithValues: (source.map { [$0.kind] } ?? Self.kinds).map { kind in
                    let sources =
                        source.map { [IPPrefix(host: $0.client.address)] }
                        ?? sources(kind, family)
                    return (kind.rawValue, Explanation.Flow(wanted: flow(kind, sources)))
                }
            ),
            endpoints: port.map { compiler.verdicts($0, family, in: slices) } ?? [],
            destinations: kernel.destinations?.map(Explanation.Destination.init),
            topology: port.map { compiler.topologyReason($0, family, in: slices) } ?? "",
            affinitySeconds: frontend.affinityTimeout,
            affinityEntry: kernel.rememberedEndpoint?.description,
            allowedSources: frontend.allowedSources?.map(\.description)
        )
        return (explained, flow)
    }

    /// The addresses that clients of a kind have, as far as the node knows.
    private func sources(_ kind: FlowExplanation.Client, _ family: IPFamily) -> [IPPrefix] {
        let all =
            switch kind {
            case .pod: snapshot.facts.podCIDRs
            case .node: snapshot.view.primaryAddresses.map(IPPrefix.init(host:))
            case .outside: [IPPrefix]()
            }
        return all.filter { $0.family == family }
    }

    /// What the kernel has of a frontend; nothing where it does not tell.
    private func inspect(_ frontend: Frontend, _ client: IPAddress?) async -> FrontendInspection {
        guard case .success(let backend) = backend else { return FrontendInspection() }
        let client = frontend.affinityTimeout == nil ? nil : client
        return (try? await backend.inspect(frontend.key, client: client)) ?? FrontendInspection()
    }

    /// Looks a client's connections to some frontends up in connection tracking.
    private func connections(
        _ client: ConnectionSource,
        _ frontends: [Explanation.Frontend]
    ) throws -> [Explanation.Connection] {
        let serving = Dictionary(
            frontends.map { ($0.key, Set($0.flows.values.flatMap(\.wanted.endpoints))) },
            uniquingKeysWith: { one, _ in one }
        )
        let family = client.address.family
        var tracking = try ConnectionTracking()
        return try Set(serving.keys.map(\.transport)).flatMap { transport in
            try tracking.connections(family, transport) {
                $0.clientAddress == client.address
                    && client.port ?? $0.clientPort == $0.clientPort
                    && serving[$0.frontend] != nil
            }
        }
        .sorted { ($0.frontend, $0.clientPort) < ($1.frontend, $1.clientPort) }
        .map { found in
            let endpoint = AddressAndPort(found.endpointAddress, found.endpointPort)
            return Explanation.Connection(
                from: AddressAndPort(found.clientAddress, found.clientPort).description,
                to: found.frontend.description,
                endpoint: found.isTranslated ? endpoint.description : nil,
                isServing: serving[found.frontend]?.contains(endpoint) == true,
                masqueradedAs: found.isMasqueraded
                    ? AddressAndPort(found.seenAsAddress, found.seenAsPort).description : nil
            )
        }
    }
}

extension Explanation.Destination {
    fileprivate init(_ inspection: DestinationInspection) {
        self.init(
            endpoint: inspection.endpoint.description,
            weight: inspection.weight,
            activeConnections: inspection.activeConnections,
            inactiveConnections: inspection.inactiveConnections,
            connections: inspection.connections,
            bytesIn: inspection.bytesIn,
            bytesOut: inspection.bytesOut
        )
    }
}

extension Service {
    fileprivate func port(of frontend: Frontend) -> ServicePort? {
        ports.first {
            $0.name == frontend.portName && $0.transport == frontend.key.transport
        }
    }
}
