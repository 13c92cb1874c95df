internal import ClusterStore
internal import IPVS
internal import IPVSKernel
internal import KubernetesModel
internal import NFTablesKernel
internal import Netlink
internal import NetworkTypes
internal import PlanCompiler
internal import ServicePlan

/// Answers `explain` from the desired state and the kernel's.
struct Explainer {
    let snapshot: Snapshot
    let configuration: NodeConfiguration
    let dataplane: Result<OpenDataplane, any Error>

    func explain(_ wanted: Wanted, from source: ConnectionSource?) async throws -> Explanation {
        let client = source?.address
        let plans = try plans(wanted)
        let node = Explanation.Node(
            name: snapshot.view.name,
            zone: snapshot.view.zone,
            primaryAddresses: snapshot.view.primaryAddresses.map(\.description),
            nodePortAddresses: snapshot.view.nodePortAddresses.map(\.description),
            podCIDRs: snapshot.facts.podCIDRs.map(\.description),
            serviceCIDRs: snapshot.facts.serviceCIDRs.map(\.description)
        )
        let kind = client.map(kind)
        var frontends: [Explanation.Frontend] = []
        for plan in plans {
            for frontend in plan.frontends where isWanted(wanted, frontend.key) {
                frontends.append(
                    try await explain(
                        frontend,
                        of: plan,
                        client.flatMap { c in kind.map { (c, $0) } }
                    )
                )
            }
        }
        return Explanation(
            services: plans.map(\.service),
            diagnostics: snapshot.diagnostics.map(\.description).filter { line in
                plans.contains { line.hasPrefix("Service \($0.service):") }
            },
            unserved: frontends.isEmpty ? whyUnserved(wanted) : nil,
            client: client.map { Explanation.Client(address: "\($0)", kind: self.kind($0)) },
            frontends: frontends,
            connections: source.flatMap { try? connections($0, frontends) },
            node: node,
            kernel: await kernel(frontends.map(\.key))
        )
    }

    private func plans(_ wanted: Wanted) throws -> [ServicePlan] {
        switch wanted {
        case .service(let name):
            let found = snapshot.plans.filter { $0.service == name }
            guard found.isEmpty else { return found }
            let parts = name.split(separator: "/").map(String.init)
            let object = ObjectName(namespace: parts[0], name: parts[1])
            guard let service = snapshot.state.services[object] else {
                throw Failure("there is no Service \(name)")
            }
            let why =
                service.belongsToOtherProxy
                ? "it has the label service.kubernetes.io/service-proxy-name: another proxy serves it"
                : service.type == .externalName
                    ? "it is of type ExternalName: DNS serves it" : "it is headless: DNS serves it"
            throw Failure("Service \(name) is not programmed: \(why)")
        case .frontend:
            return snapshot.plans.filter { $0.frontends.contains { wanted.includes($0.key) } }
        }
    }

    private func isWanted(_ wanted: Wanted, _ key: FrontendKey) -> Bool {
        if case .service = wanted { return true }
        return wanted.includes(key)
    }

    private func whyUnserved(_ wanted: Wanted) -> String? {
        guard case .frontend(let address, _, _) = wanted else { return nil }
        let isClusterIP = snapshot.plans.contains {
            $0.frontends.contains { $0.kind == .clusterIP && $0.key.address == address }
        }
        if isClusterIP { return "rejected: the cluster IP has no such port" }
        if snapshot.facts.serviceCIDRs.contains(where: { $0.contains(address) }) {
            return "dropped: no Service has this address of the ServiceCIDR"
        }
        return "passed untouched: no Service has it"
    }

    /// Where interfaces tell pods, packets are taken to come by the one that leads to the client.
    private func kind(_ client: IPAddress) -> FlowExplanation.Client {
        let own = (try? readInterfaceAddresses()) ?? []
        if own.contains(client) || snapshot.view.primaryAddresses.contains(client) { return .node }
        switch snapshot.facts.localDetection(client.family) {
        case .podCIDRs:
            return snapshot.facts.podCIDRs.contains { $0.contains(client) } ? .pod : .outside
        case .interface(let name): return interface(toward: client) == name ? .pod : .outside
        case .interfacePrefix(let prefix):
            return interface(toward: client)?.hasPrefix(prefix) == true ? .pod : .outside
        case .none: return .outside
        }
    }

    private func interface(toward client: IPAddress) -> String? {
        (try? RouteLookup.interface(toward: client)) ?? nil
    }

    private func explain(
        _ frontend: Frontend,
        of plan: ServicePlan,
        _ client: (address: IPAddress, kind: FlowExplanation.Client)?
    ) async throws -> Explanation.Frontend {
        let family = frontend.key.address.family
        let parts = plan.service.split(separator: "/").map(String.init)
        let input = snapshot.state.input(ObjectName(namespace: parts[0], name: parts[1]))
        let port = input?.service.ports.first {
            $0.name == frontend.portName && $0.transport == frontend.key.transport
        }
        let compiler = PlanCompiler(node: snapshot.view)
        let slices = input?.slices ?? []
        let detection = snapshot.facts.localDetection(family)
        let flow = { (kind: FlowExplanation.Client, source: IPAddress) in
            FlowExplanation(
                frontend,
                of: plan,
                from: kind,
                source: source,
                canTellPods: detection != .none
            )
        }
        let kinds: [FlowExplanation.Client] = [.pod, .node, .outside]
        var remembered: String?
        if let client, frontend.affinityTimeout != nil, let open = try? dataplane.get() {
            let found = try? await open.nftables.rememberedEndpoint(
                of: client.address,
                at: frontend.key
            )
            remembered = found.map { hostAndPort($0.address, $0.port) }
        }
        return Explanation.Frontend(
            key: frontend.key,
            service: plan.portLabel(frontend),
            kind: frontend.kind.name,
            flows: client.map { [$0.kind.rawValue: flow($0.kind, $0.address)] }
                ?? Dictionary(
                    uniqueKeysWithValues: kinds.map {
                        (
                            $0.rawValue,
                            flow($0, snapshot.view.primaryAddresses.first ?? frontend.key.address)
                        )
                    }
                ),
            endpoints: port.map { compiler.verdicts($0, family, in: slices) } ?? [],
            destinations: await destinations(of: frontend.key),
            topology: port.map { compiler.topologyReason($0, family, in: slices) } ?? "",
            affinitySeconds: frontend.affinityTimeout,
            affinityEntry: remembered,
            allowedSources: frontend.allowedSources?.map(\.description)
        )
    }

    /// Nil in mode nftables, and where the kernel does not tell.
    private func destinations(of key: FrontendKey) async -> [Explanation.Destination]? {
        guard let open = try? dataplane.get(), let ipvs = open.active as? IPVSDataplane,
            let found = try? await ipvs.destinations(of: key)
        else { return nil }
        return found.sorted { $0.destination.id < $1.destination.id }
            .map { state in
                Explanation.Destination(
                    endpoint: state.destination.id.description,
                    weight: state.destination.weight,
                    activeConnections: state.connections.active,
                    inactiveConnections: state.connections.inactive,
                    connections: state.statistics.connections,
                    bytesIn: state.statistics.bytesIn,
                    bytesOut: state.statistics.bytesOut
                )
            }
    }

    /// Looks a client's connections to some frontends up in connection tracking.
    private func connections(
        _ client: ConnectionSource,
        _ frontends: [Explanation.Frontend]
    ) throws -> [Explanation.Connection] {
        let serving = Dictionary(
            frontends.map { ($0.key, Set($0.flows.values.flatMap(\.endpoints))) },
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
            let endpoint = hostAndPort(found.endpointAddress, found.endpointPort)
            let isMasqueraded =
                found.seenAsAddress != found.clientAddress || found.seenAsPort != found.clientPort
            return Explanation.Connection(
                from: hostAndPort(found.clientAddress, found.clientPort),
                to: found.frontend.description,
                endpoint: found.isTranslated ? endpoint : nil,
                isServing: serving[found.frontend]?.contains(endpoint) == true,
                masqueradedAs: isMasqueraded
                    ? hostAndPort(found.seenAsAddress, found.seenAsPort) : nil
            )
        }
    }

    /// Compares with what the kernel holds of these frontends.
    private func kernel(_ keys: [FrontendKey]) async -> Explanation.Kernel {
        do {
            let open = try dataplane.get()
            let lines = try await differenceLines(open, snapshot)
            let own = lines.filter { line in
                keys.contains { key in
                    line.contains("\(key.address) . \(key.transport) . \(key.port)")
                        || line.contains(hostAndPort(key.address, key.port))
                }
            }
            return Explanation.Kernel(agrees: own.isEmpty, differences: own, problem: nil)
        } catch {
            return Explanation.Kernel(agrees: nil, differences: [], problem: "\(error)")
        }
    }
}
