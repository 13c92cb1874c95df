import ModelKernel
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport

/// A node of a random cluster: its Services, programmed into a model of its kernel.
///
/// Cluster IPs, VIPs, endpoints and clients have a network each; see `RandomPlans`.
package struct RandomCluster {
    package let family: IPFamily
    package private(set) var inputs: TableInputs
    /// The node runs with `--masquerade-all`.
    private let masqueradesAll: Bool
    package var random: Seeded
    package var kernel = MemoryKernel()
    package private(set) var state: TableState
    package private(set) var plans: [String: ServicePlan] = [:]
    /// Every plan that there ever was: of endpoints that go the kernel still knows a while.
    package private(set) var everyPlan: [ServicePlan] = []

    /// Clients with an endpoint that the rules remember, by the key of the map `affinity`.
    package var remembered: [[UInt8]: Endpoint] = [:]
    package var stickyClients: [(client: IPAddress, frontend: Frontend)] = []
    /// What another program translates at priority `dstnat`, as host ports.
    package var hostPorts: [FrontendKey: Endpoint] = [:]

    package static let nodeAddresses: [IPFamily: IPAddress] = [
        .ipv4: ip("10.9.0.1"), .ipv6: ip("fd00:0:0:9::1"),
    ]
    package static let detections: [LocalDetection] = [
        .none, .podCIDRs, .interface("cni0"), .interfacePrefix("cni"),
    ]

    /// Programs some Services, and changes them a few times.
    /// - Parameter isAlone: no other program translates, and no client is remembered
    package init(
        seed: UInt64,
        _ detection: LocalDetection,
        role: TableRole = .balancer,
        rounds: Int = 3,
        isAlone: Bool = false
    ) throws {
        family = seed % 2 == 0 ? .ipv4 : .ipv6
        masqueradesAll = seed % 5 == 0
        inputs = TableInputs(
            NodeFacts(
                serviceCIDRs: [prefix("10.0.0.0/16"), prefix("fd00::/64")],
                podCIDRs: [prefix("10.2.0.0/16"), prefix("fd00:0:0:2::/64")],
                localDetection: detection,
                countsConnections: seed % 3 == 0
            ),
            role: role
        )
        inputs.remembersClients = seed % 7 != 6
        var plans = RandomPlans(seed: seed)
        random = Seeded(seed &+ 1)
        state = TableState(family, role)
        let first = plans.cluster(12).map { extended($0) }
        let (start, changes) = TableState.adopting(
            .unusable,
            first,
            inputs,
            family
        )
        state = start
        try kernel.commit(
            [TableTransaction(program: state.program, changes: changes)],
            expecting: kernel.generation
        )
        remember(first.map { ($0.service, $0) })
        for _ in 0..<rounds {
            let indexes = Set((0..<3).map { _ in Int.random(in: 0..<12, using: &random) })
            let changed = indexes.sorted().map { index in
                let plan = extended(plans.plan(index))
                return (service: plan.service, plan: chance(4) ? nil : plan)
            }
            let changes = state.apply(
                changed.map { PlanChange($0.service, old: self.plans[$0.service], new: $0.plan) },
                inputs
            )
            try kernel.commit(
                [TableTransaction(program: state.program, changes: changes)],
                expecting: kernel.generation
            )
            remember(changed)
        }
        guard !isAlone else { return }
        try rememberClients()
        try addHostPorts()
    }

    private mutating func remember(_ changed: [(service: String, plan: ServicePlan?)]) {
        for (service, plan) in changed {
            plans[service] = plan
            if let plan { everyPlan.append(plan) }
        }
    }

    package var nodeAddress: IPAddress { Self.nodeAddresses[family] ?? ip("::") }

    /// Adds what `RandomPlans` has not: NodePorts, endpoints that terminate, and the node itself as an
    /// endpoint.
    private mutating func extended(_ plan: ServicePlan) -> ServicePlan {
        var plan = plan
        let own = RandomCluster.nodeAddresses[plan.family] ?? ip("::")
        for index in plan.pools.indices where !plan.pools[index].endpoints.isEmpty {
            if chance(5) { plan.pools[index].endpoints.append(Endpoint(own, 9090, isLocal: true)) }
            plan.pools[index].endpoints.sort()
            if chance(3) {
                let going = address(plan.family, 2, 150 + Int.random(in: 0..<9, using: &random))
                plan.pools[index].draining = [Endpoint(going, 8080, isLocal: chance(2))]
            }
        }
        // Policy Local has a pool of its own.
        for index in plan.frontends.indices {
            guard case .split(let cluster, .some) = plan.frontends[index].action else { continue }
            let local = plan.pools[cluster].endpoints.filter(\.isLocal)
            plan.frontends[index].action = .split(
                cluster: cluster,
                local: local.isEmpty ? nil : plan.pools.count
            )
            if !local.isEmpty { plan.pools.append(Pool(local)) }
        }
        // The compiler keeps sources exactly where external traffic policy is Local.
        for index in plan.frontends.indices where plan.frontends[index].kind != .clusterIP {
            if chance(3) { plan.frontends[index].affinityTimeout = 60 }
            switch plan.frontends[index].action {
            case .split: plan.frontends[index].masquerade = .node
            case .balance: plan.frontends[index].masquerade = .everyone
            case .reject, .drop: break
            }
        }
        if masqueradesAll {
            for index in plan.frontends.indices where plan.frontends[index].kind == .clusterIP {
                plan.frontends[index].masquerade = .everyone
            }
        }
        let number = plan.service.utf8.reduce(0) { ($0 * 31 + Int($1)) % 500 }
        for (index, frontend) in plan.frontends.enumerated()
        where frontend.kind == .loadBalancerVIP && chance(2) {
            var port = frontend
            port.kind = .nodePort
            port.allowedSources = nil
            port.key = FrontendKey(
                own,
                frontend.key.transport,
                UInt16(30_000 + 10 * number + index)
            )
            plan.frontends.append(port)
        }
        return plan
    }

    // MARK: Chance

    package mutating func chance(_ oneIn: Int) -> Bool {
        Int.random(in: 0..<oneIn, using: &random) == 0
    }

    package func address(_ family: IPFamily, _ net: Int, _ host: Int) -> IPAddress {
        family == .ipv4
            ? IPAddress(ipv4: 0x0A00_0001 + UInt32(net) << 16 + UInt32(host))
            : IPAddress(ipv6High: 0xFD00_0000_0000_0000 + UInt64(net), low: UInt64(host + 1))
    }

    package var frontends: [Frontend] {
        plans.values.flatMap(\.frontends).filter { $0.key.address.family == family }
            .sorted { $0.key < $1.key }
    }

    // MARK: The node's routes

    /// Local pods are behind bridges, all else behind eth0.
    ///
    /// IPVS has cluster IPs on a device of its own,
    /// and marked packets are for the node.
    package var routing: Routing {
        let own = nodeAddress
        let isIPVS = inputs.role == .policy
        let clusterIPs = Set(frontends.filter { $0.kind == .clusterIP }.map(\.key.address))
        let isLocal = { @Sendable (address: IPAddress) in
            address == own || isIPVS && clusterIPs.contains(address)
        }
        return .model(own: own, isLocal: isLocal) { $0.low % 3 == 1 }
    }

    package var evaluator: Evaluator { Evaluator(kernel.ruleset, routing: routing) }
}

extension ServicePlan {
    fileprivate var family: IPFamily { frontends.first?.key.address.family ?? .ipv4 }
}
