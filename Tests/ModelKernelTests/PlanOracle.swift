import ModelKernel
import ModelSupport
import NFTables
import NetworkTypes
import ServicePlan

/// What the plans say about a packet: written from `ServicePlan` alone, without a look at the rules.
struct PlanOracle {
    let cluster: RandomCluster
    private let frontends: [FrontendKey: (frontend: Frontend, plan: ServicePlan)]
    private let clusterIPs: Set<IPAddress>
    private let localEndpoints: Set<IPAddress>
    /// Every endpoint that there is or was a short while ago.
    private let knownEndpoints: Set<FrontendKey>

    init(_ cluster: RandomCluster) {
        self.cluster = cluster
        var frontends: [FrontendKey: (frontend: Frontend, plan: ServicePlan)] = [:]
        for plan in cluster.plans.values {
            for frontend in plan.frontends where frontend.key.address.family == cluster.family {
                frontends[frontend.key] = (frontend, plan)
            }
        }
        self.frontends = frontends
        clusterIPs = Set(
            frontends.values.filter { $0.frontend.kind == .clusterIP }.map(\.frontend.key.address)
        )
        localEndpoints = Set(
            frontends.values.flatMap { Self.pools($0.frontend, $0.plan) }.flatMap(\.endpoints)
                .filter(\.isLocal).map(\.address)
        )
        knownEndpoints = Set(
            cluster.everyPlan.flatMap { plan in
                plan.frontends.flatMap { frontend in
                    Self.pools(frontend, plan).flatMap { $0.endpoints + $0.draining }.map {
                        FrontendKey($0.address, frontend.key.transport, $0.port)
                    }
                }
            }
        )
    }

    private static func pools(_ frontend: Frontend, _ plan: ServicePlan) -> [Pool] {
        let (cluster, local) = plan.pools(of: frontend)
        return [cluster, local].compactMap { $0 }
    }

    /// What must happen; the shares that endpoints may have, in parts.
    struct Verdict {
        var parts = 1
        var shares: [Outcome: ClosedRange<Int>] = [:]
        /// The seconds for which the client is remembered, and as what; nil: it is not.
        var memory: (key: [UInt8], seconds: UInt32)?

        init(_ outcome: Outcome) { shares = [outcome: 1...1] }

        /// Up to 32 endpoints have one part each; more of them share a power of two of parts, in which
        /// none has more than one part more than another.
        init(spread outcomes: [Outcome]) {
            parts = outcomes.count
            if parts > 32 {
                parts = 512
                while parts < 8 * outcomes.count { parts *= 2 }
            }
            let least = parts / outcomes.count
            let most = (parts + outcomes.count - 1) / outcomes.count
            shares = Dictionary(uniqueKeysWithValues: outcomes.map { ($0, least...most) })
        }

        private func isRemembered(_ possibility: Possibility) -> Bool {
            guard let memory, case .delivered(let address, let port, _, _) = possibility.outcome
            else { return possibility.writes.isEmpty }
            guard let write = possibility.writes.first, possibility.writes.count == 1 else {
                return false
            }
            return write.set == SetID.affinity.name && write.key == memory.key
                && write.value == .data(ElementBytes(address, port: port).bytes)
                && write.timeout == UInt64(memory.seconds) * 1000
        }

        /// Whether these are all the possibilities.
        func allows(_ possibilities: [Possibility]) -> Bool {
            var sum = Fraction.zero
            var seen: [Outcome: Fraction] = [:]
            for possibility in possibilities {
                guard possibility.isCertain, isRemembered(possibility),
                    let total = sum.adding(possibility.weight),
                    let own = seen[possibility.outcome, default: .zero].adding(possibility.weight)
                else { return false }
                sum = total
                seen[possibility.outcome] = own
            }
            guard sum == .one, Set(seen.keys) == Set(shares.keys) else { return false }
            return seen.allSatisfy { outcome, weight in
                let count = weight.numerator * UInt128(parts)
                return count % weight.denominator == 0
                    && shares[outcome]?.contains(Int(count / weight.denominator)) == true
            }
        }
    }

    func verdict(_ packet: Packet, _ tracking: Tracking) -> Verdict {
        let key = TransportProtocol(rawValue: packet.transport).map {
            FrontendKey(packet.destination, $0, packet.destinationPort)
        }
        guard let key else { return delivered(packet) }
        switch tracking {
        case .connection(let connection):
            var packet = packet
            packet.destination = connection.reply.source
            packet.destinationPort = connection.reply.sourcePort
            return delivered(packet)
        case .invalid:
            let source = FrontendKey(packet.source, key.transport, packet.sourcePort)
            // What neither an interface has received nor the node has sent is of an IPVLAN pod; what
            // is for the node itself comes by the loopback interface then.
            let isForeign =
                packet.inputInterface == nil && !isNode(packet) && !isToNode(packet.destination)
            let isServices =
                frontends[key] != nil || !isForeign && knownEndpoints.contains(source)
            return isServices ? Verdict(.dropped) : delivered(packet)
        case .new:
            guard let (frontend, plan) = frontends[key] else { return nobodys(packet) }
            if let sources = frontend.allowedSources,
                !sources.contains(where: { $0.contains(packet.source) })
            {
                return Verdict(.dropped)
            }
            if let endpoint = remembered(packet, frontend) {
                return Verdict(
                    outcome(
                        packet,
                        endpoint.address,
                        endpoint.port,
                        isMasqueraded(packet, frontend, endpoint)
                    )
                )
            }
            return cluster.inputs.role == .balancer
                ? services(packet, frontend, plan) : besideIPVS(packet, frontend, plan)
        }
    }

    // MARK: Clients

    private func isNode(_ packet: Packet) -> Bool { packet.source == cluster.nodeAddress }

    private var detection: LocalDetection { cluster.inputs.facts.localDetection(cluster.family) }

    private func isPod(_ packet: Packet) -> Bool {
        let interface = packet.inputInterface ?? ""
        return switch detection {
        case .none: false
        case .podCIDRs: cluster.inputs.facts.podCIDRs.contains { $0.contains(packet.source) }
        case .interface(let name): interface == name
        case .interfacePrefix(let prefix): interface.hasPrefix(prefix)
        }
    }

    /// The endpoint that the client had before, where the rules decide.
    private func remembered(_ packet: Packet, _ frontend: Frontend) -> Endpoint? {
        guard isSticky(frontend) else { return nil }
        if cluster.inputs.role == .policy {
            guard isPod(packet) || isNode(packet) else { return nil }
        }
        return cluster.remembered[
            ClientBucket.key(ClientBucket.of(packet.source), frontend.key).bytes
        ]
    }

    /// Whether the rules themselves choose endpoints for the frontend, and remember them.
    private func isSticky(_ frontend: Frontend) -> Bool {
        guard frontend.affinityTimeout != nil, cluster.inputs.remembersClients else { return false }
        return switch frontend.action {
        case .balance: cluster.inputs.role == .balancer
        case .split: true
        case .reject, .drop: false
        }
    }

    private func remembering(
        _ verdict: Verdict,
        _ packet: Packet,
        _ frontend: Frontend
    ) -> Verdict {
        var verdict = verdict
        let key = ClientBucket.key(ClientBucket.of(packet.source), frontend.key).bytes
        if isSticky(frontend), let seconds = frontend.affinityTimeout,
            cluster.remembered[key] == nil
        {
            verdict.memory = (key, seconds)
        }
        return verdict
    }

    // MARK: What is no frontend

    /// Others may translate what the rules do not; it is theirs then.
    private func others(_ packet: Packet, _ frontend: Frontend? = nil) -> Verdict? {
        guard let transport = TransportProtocol(rawValue: packet.transport) else { return nil }
        let key = FrontendKey(packet.destination, transport, packet.destinationPort)
        let isIPVS = cluster.inputs.role == .policy && clusterIPs.contains(packet.destination)
        guard !isIPVS, let endpoint = cluster.hostPorts[key] else { return nil }
        let verdict = Verdict(outcome(packet, endpoint.address, endpoint.port, false))
        return frontend.map { remembering(verdict, packet, $0) } ?? verdict
    }

    private func nobodys(_ packet: Packet) -> Verdict {
        if let others = others(packet) { return others }
        if clusterIPs.contains(packet.destination) { return refused(packet) }
        if cluster.inputs.facts.serviceCIDRs.contains(where: { $0.contains(packet.destination) }) {
            return Verdict(.dropped)
        }
        return delivered(packet)
    }

    private func refused(_ packet: Packet) -> Verdict {
        guard packet.transport != TransportProtocol.tcp.rawValue else {
            return Verdict(.rejected(.reset))
        }
        // Port unreachable
        return Verdict(.rejected(.icmp(code: cluster.family == .ipv4 ? 3 : 4)))
    }

    private func delivered(_ packet: Packet, isMasqueraded: Bool = false) -> Verdict {
        Verdict(outcome(packet, packet.destination, packet.destinationPort, isMasqueraded))
    }

    private func isToNode(_ address: IPAddress) -> Bool {
        address == cluster.nodeAddress
            || cluster.inputs.role == .policy && clusterIPs.contains(address)
    }

    /// A packet that comes to a process of the node passes no hook that masquerades, unless the node
    /// itself has sent it.
    private func outcome(
        _ packet: Packet,
        _ address: IPAddress,
        _ port: UInt16,
        _ isMasqueraded: Bool
    ) -> Outcome {
        let isFromNode = packet.inputInterface == nil
        let isToNode = isToNode(address)
        return .delivered(
            address,
            port: port,
            isMasqueraded: isMasqueraded && (isFromNode || !isToNode),
            hook: isToNode ? .input : isFromNode ? .output : .forward
        )
    }

    // MARK: Frontends

    private func services(
        _ packet: Packet,
        _ frontend: Frontend,
        _ plan: ServicePlan
    ) -> Verdict {
        let (cluster, local) = plan.pools(of: frontend)
        switch frontend.action {
        case .reject: return others(packet, frontend) ?? refused(packet)
        case .drop: return others(packet, frontend) ?? Verdict(.dropped)
        case .balance:
            return spread(packet, frontend, cluster) { isMasqueraded(packet, frontend, $0) }
        case .split:
            guard isPod(packet) || isNode(packet) else {
                return spread(packet, frontend, local) { isMasqueraded(packet, frontend, $0) }
            }
            return spread(packet, frontend, cluster) { isMasqueraded(packet, frontend, $0) }
        }
    }

    private func spread(
        _ packet: Packet,
        _ frontend: Frontend,
        _ pool: Pool?,
        _ isMasqueraded: (Endpoint) -> Bool
    ) -> Verdict {
        guard let pool else { return others(packet, frontend) ?? Verdict(.dropped) }
        let verdict = Verdict(
            spread: pool.endpoints.map {
                outcome(packet, $0.address, $0.port, isMasqueraded($0))
            }
        )
        return remembering(verdict, packet, frontend)
    }

    private func isHairpin(_ packet: Packet, _ endpoint: Endpoint) -> Bool {
        packet.source == endpoint.address && localEndpoints.contains(endpoint.address)
    }

    private func isMasqueraded(
        _ packet: Packet,
        _ frontend: Frontend,
        _ endpoint: Endpoint
    ) -> Bool {
        switch frontend.masquerade {
        case .everyone: true
        case .nonPods: detection != .none && !isPod(packet) || isHairpin(packet, endpoint)
        case .node: isNode(packet) || isHairpin(packet, endpoint)
        }
    }

    // MARK: Beside IPVS

    /// The rules translate only what no virtual server can; what they let pass meets IPVS behind them.
    private func besideIPVS(
        _ packet: Packet,
        _ frontend: Frontend,
        _ plan: ServicePlan
    ) -> Verdict {
        if case .split = frontend.action, isPod(packet) || isNode(packet) {
            return spread(packet, frontend, plan.pools(of: frontend).cluster) {
                isNode(packet) || isHairpin(packet, $0)
            }
        }
        if let others = others(packet, frontend) { return others }
        switch frontend.action {
        case .reject: return refused(packet)
        case .drop, .split(_, local: nil): return Verdict(.dropped)
        case .balance, .split: break
        }
        let isFromNode = packet.inputInterface == nil
        let isOnNode = frontend.kind == .clusterIP || frontend.kind == .nodePort
        return Verdict(
            .delivered(
                packet.destination,
                port: packet.destinationPort,
                isMasqueraded: isFromNode,
                hook: isFromNode && !isOnNode ? .output : .input
            )
        )
    }
}
