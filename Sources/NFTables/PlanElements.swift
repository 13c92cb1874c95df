package import NetworkTypes
package import ServicePlan

/// An element that several Services may have in common; it goes when the last of them does.
package enum SharedElement: Sendable, Hashable {
    case clusterIP(IPAddress)
    case hairpin(IPAddress)
    case serviceEndpoint(IPAddress, UInt16, TransportProtocol)

    package var set: SetID {
        switch self {
        case .clusterIP: .clusterIPs
        case .hairpin: .hairpin
        case .serviceEndpoint: .serviceEndpoints
        }
    }

    package var element: Element {
        switch self {
        case .clusterIP(let address):
            return Element(key: ElementBytes(address))
        case .hairpin(let address):
            var key = ElementBytes(address)
            key.append(address)
            return Element(key: key)
        case .serviceEndpoint(let address, let port, let transport):
            return Element(key: ElementBytes(FrontendKey(address, transport, port)))
        }
    }
}

extension SharedElement {
    /// Calls the body for what an endpoint takes that new connections may be sent to.
    static func forEach(
        _ endpoint: Endpoint,
        _ transport: TransportProtocol,
        _ body: (SharedElement) -> Void
    ) {
        body(of(draining: endpoint, transport))
        if endpoint.isLocal { body(.hairpin(endpoint.address)) }
    }

    /// What an endpoint takes that keeps its old connections.
    static func of(draining endpoint: Endpoint, _ transport: TransportProtocol) -> SharedElement {
        .serviceEndpoint(endpoint.address, endpoint.port, transport)
    }
}

/// A plan with its pools laid out in slots for one family: all that the elements of a Service depend
/// on.
package struct LaidOutPlan: Sendable {
    package let plan: ServicePlan
    let family: IPFamily
    private let role: TableRole
    /// In the order of the plan's pools; pools that no frontend of the family draws from are empty.
    let layouts: [PoolLayout]

    /// - Parameter previous: the layout that the pool of a frontend's map had, if it was there
    init(
        _ plan: ServicePlan,
        _ role: TableRole,
        _ family: IPFamily,
        previous: (Frontend, SetID) -> PoolLayout?
    ) {
        self.plan = plan
        self.family = family
        self.role = role
        var former: [Int: PoolLayout?] = [:]
        for frontend in plan.frontends where frontend.key.address.family == family {
            for (set, pool) in Self.maps(frontend, role) where (former[pool] ?? nil) == nil {
                // The first frontend that has been there tells for all of its pool.
                former[pool] = .some(previous(frontend, set))
            }
        }
        layouts = plan.pools.indices.map { pool in
            former[pool].map { PoolLayout(plan.pools[pool].endpoints, previous: $0) } ?? .empty
        }
    }

    /// - Parameter old: the plan before; pools of the same frontends keep their slots
    init(
        _ plan: ServicePlan,
        _ role: TableRole,
        _ family: IPFamily,
        replacing old: LaidOutPlan
    ) {
        let former = Dictionary(
            old.frontends.map { ($0.key, $0) },
            uniquingKeysWith: { first, _ in first }
        )
        self.init(plan, role, family) { frontend, set in
            guard let former = former[frontend.key] else { return nil }
            return old.maps(former).first { $0.set == set }.map { old.layouts[$0.pool] }
        }
    }

    /// - Parameter layouts: of each pool; nil: of none
    init(
        _ plan: ServicePlan,
        _ role: TableRole,
        _ family: IPFamily,
        layouts: [PoolLayout]?
    ) {
        precondition(
            layouts == nil || layouts?.count == plan.pools.count,
            "a change begins with the plan that was committed last"
        )
        (self.plan, self.role, self.family) = (plan, role, family)
        self.layouts = layouts ?? Array(repeating: .empty, count: plan.pools.count)
    }

    /// Those of the family.
    var frontends: some Sequence<Frontend> {
        plan.frontends.lazy.filter { $0.key.address.family == family }
    }

    // MARK: Elements that are this Service's alone

    /// Calls the body for each of them.
    func forEachElement(_ body: (SetID, Element) -> Void) {
        for frontend in frontends {
            forEachElement(of: frontend, body)
            for (set, pool) in maps(frontend) { forEachSlot(of: frontend, set, pool, body) }
        }
    }

    /// Calls the body for each element of a frontend but the slots of its pools.
    func forEachElement(of frontend: Frontend, _ body: (SetID, Element) -> Void) {
        let key = ElementBytes(frontend.key)
        body(.frontends, Element(key: key, comment: plan.portLabel(frontend)))
        for set in memberships(frontend) { body(set, Element(key: key)) }
        if let timeout = affinityTimeout(frontend) {
            var seconds = ElementBytes()
            seconds.append(hostOrder: timeout)
            body(.stickyTimeouts, Element(key: key, data: seconds))
        }
        for source in allowedSources(frontend) ?? [] {
            var block = key
            block.append(source.base)
            body(.allowedSources(length: UInt32(source.length)), Element(key: block))
        }
    }

    func forEachSlot(
        of frontend: Frontend,
        _ set: SetID,
        _ pool: Int,
        _ body: (SetID, Element) -> Void
    ) {
        let layout = layouts[pool]
        let key = ElementBytes(frontend.key)
        for slot in 0..<Int(layout.size) { body(set, Self.element(key, layout, slot)) }
    }

    /// The element of one slot in the map of a frontend's pool.
    static func element(_ frontend: ElementBytes, _ layout: PoolLayout, _ slot: Int) -> Element {
        let endpoint = layout.endpoint(slot)
        var key = frontend
        key.append(
            hostOrder: PoolLayout.firstSlot(layout.size) + UInt32(truncatingIfNeeded: slot)
        )
        return Element(key: key, data: ElementBytes(endpoint.address, port: endpoint.port))
    }

    /// The maps that a frontend's pools are in.
    func maps(_ frontend: Frontend) -> [(set: SetID, pool: Int)] { Self.maps(frontend, role) }

    private static func maps(
        _ frontend: Frontend,
        _ role: TableRole
    ) -> [(set: SetID, pool: Int)] {
        switch (frontend.action, role) {
        case (.balance(let pool), .balancer): [(.endpoints, pool)]
        case (.split(let cluster, let local), .balancer):
            [(.endpoints, cluster)] + (local.map { [(.localEndpoints, $0)] } ?? [])
        case (.split(let cluster, _), .policy): [(.endpoints, cluster)]
        case (.balance, .policy), (.reject, _), (.drop, _): []
        }
    }

    /// The timeout of the affinity that the rules keep, of connections that they translate: IPVS
    /// keeps that of its virtual servers, and others may translate what we do not.
    private func affinityTimeout(_ frontend: Frontend) -> UInt32? {
        maps(frontend).isEmpty ? nil : frontend.affinityTimeout
    }

    /// Nil if everyone may use the frontend.
    private func allowedSources(_ frontend: Frontend) -> [IPPrefix]? {
        guard let sources = frontend.allowedSources,
            !sources.contains(where: { $0.length == 0 })
        else { return nil }
        return sources
    }

    /// The plain sets that hold the frontend's key, beside `frontends`.
    private func memberships(_ frontend: Frontend) -> [SetID] {
        var sets: [SetID] = []
        switch frontend.action {
        case .balance: break
        case .split(_, let local): if local == nil { sets.append(.noLocalEndpoints) }
        case .reject: sets.append(.noEndpoints)
        case .drop: sets.append(.noLocalEndpoints)
        }
        // Others may translate connections to frontends that we do not translate.
        switch (frontend.masquerade, frontend.action) {
        case (_, .reject), (_, .drop), (.nonPods, _): break  // `cluster-ips` tells of pods
        case (.everyone, _): sets.append(.masqueradeFrontends)
        case (.node, _): sets.append(.localPolicy)
        }
        if affinityTimeout(frontend) != nil { sets.append(.sticky) }
        if allowedSources(frontend) != nil { sets.append(.restricted) }
        // What has no virtual server is refused where it would be routed to: the kernel sends no ICMP
        // error from an address that is not the node's (net/ipv4/icmp.c: icmp_send).
        if role == .policy, [.externalIP, .loadBalancerVIP].contains(frontend.kind),
            frontend.action.outerPool != nil
        {
            sets.append(.externalFrontends)
        }
        return sets
    }

    // MARK: What other Services may have, too

    /// The endpoints of a pool under one protocol, of which several frontends are one use.
    struct PoolUse: Hashable {
        let pool: Int
        let transport: TransportProtocol
    }

    /// The pools of a frontend, in a fixed order.
    func uses(_ frontend: Frontend) -> [PoolUse] {
        let pools: [Int] =
            switch frontend.action {
            case .balance(let pool): [pool]
            case .split(let cluster, let local): [cluster] + (local.map { [$0] } ?? [])
            case .reject, .drop: []
            }
        return pools.map { PoolUse(pool: $0, transport: frontend.key.transport) }
    }

    /// Calls the body for each use of an element that other Services may have too; the same one may
    /// come several times.
    func forEachSharedElement(_ body: (SharedElement) -> Void) {
        var seen: Set<PoolUse> = []
        for frontend in frontends {
            if let address = clusterIP(frontend) { body(address) }
            for use in uses(frontend) where seen.insert(use).inserted {
                forEachSharedElement(of: use, body)
            }
        }
    }

    func forEachSharedElement(of use: PoolUse, _ body: (SharedElement) -> Void) {
        let pool = plan.pools[use.pool]
        for endpoint in pool.endpoints {
            SharedElement.forEach(endpoint, use.transport, body)
        }
        for endpoint in pool.draining { body(.of(draining: endpoint, use.transport)) }
    }

    func clusterIP(_ frontend: Frontend) -> SharedElement? {
        frontend.kind == .clusterIP ? .clusterIP(frontend.key.address) : nil
    }

    /// Calls the body with each number that rules must know.
    func forEachNumber(_ body: (WritableKeyPath<RuleNumberUsage, NumberUsage>, UInt32) -> Void) {
        for frontend in frontends {
            for (set, pool) in maps(frontend) {
                body(set == .endpoints ? \.poolSizes : \.localPoolSizes, layouts[pool].size)
            }
            if let timeout = affinityTimeout(frontend) { body(\.affinityTimeouts, timeout) }
            for source in allowedSources(frontend) ?? [] {
                body(\.sourceLengths, UInt32(source.length))
            }
        }
    }
}
