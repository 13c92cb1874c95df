package import NetworkTypes
package import ServicePlan

/// An element that several Services may share; it is removed together with its last use.
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
    /// Calls the body with each shared element of an endpoint that gets new connections.
    static func forEach(
        _ endpoint: Endpoint,
        _ transport: TransportProtocol,
        _ body: (SharedElement) -> Void
    ) {
        body(of(draining: endpoint, transport))
        if endpoint.isLocal { body(.hairpin(endpoint.address)) }
    }

    /// Returns the shared element of an endpoint that only keeps its old connections.
    static func of(draining endpoint: Endpoint, _ transport: TransportProtocol) -> SharedElement {
        .serviceEndpoint(endpoint.address, endpoint.port, transport)
    }
}

/// A plan with its pools laid out in slots for one family; all elements of the Service follow from
/// it.
package struct LaidOutPlan: Sendable {
    package let plan: ServicePlan
    let family: IPFamily
    private let role: TableRole
    /// The layouts in the order of the plan's pools; a pool that no frontend of the family uses has
    /// an empty layout.
    let layouts: [PoolLayout]

    /// Lays out the pools of a plan.
    ///
    /// - Parameter previous: returns the layout, of this number of slots, that a frontend had in a map
    ///   before; nil if it had none
    init(
        _ plan: ServicePlan,
        _ role: TableRole,
        _ family: IPFamily,
        previous: (Frontend, SetID, Int) -> PoolLayout? = { _, _, _ in nil }
    ) {
        self.plan = plan
        self.family = family
        self.role = role
        var former: [Int: PoolLayout?] = [:]
        for frontend in plan.frontends where frontend.key.address.family == family {
            for (set, pool) in Self.maps(frontend, role) where (former[pool] ?? nil) == nil {
                // The first frontend with a previous layout decides for its whole pool.
                let size = PoolLayout.size(for: plan.pools[pool].endpoints.count)
                former[pool] = .some(previous(frontend, set, size))
            }
        }
        layouts = plan.pools.indices.map { pool in
            former[pool].map { PoolLayout(plan.pools[pool].endpoints, previous: $0) } ?? .empty
        }
    }

    /// Lays out the pools of a plan that replaces another one.
    ///
    /// - Parameter old: the plan before; endpoints of the same frontends keep their slots
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
        self.init(plan, role, family) { frontend, set, _ in
            guard let former = former[frontend.key] else { return nil }
            return old.maps(former).first { $0.set == set }.map { old.layouts[$0.pool] }
        }
    }

    /// Makes a plan whose layouts are known.
    ///
    /// - Parameter layouts: the layout of each pool
    init(
        _ plan: ServicePlan,
        _ role: TableRole,
        _ family: IPFamily,
        layouts: [PoolLayout]
    ) {
        precondition(
            layouts.count == plan.pools.count,
            "a change begins with the plan that was committed last"
        )
        (self.plan, self.role, self.family, self.layouts) = (plan, role, family, layouts)
    }

    /// Whether the layouts are what the plan gets without any former layouts.
    var followsFromPlan: Bool {
        layouts == LaidOutPlan(plan, role, family).layouts
    }

    /// The plan's frontends of this family.
    var frontends: some Sequence<Frontend> {
        plan.frontends.lazy.filter { $0.key.address.family == family }
    }

    // MARK: Elements that are this Service's alone

    /// Calls the body with each element that belongs to this Service alone.
    func forEachElement(_ body: (SetID, Element) -> Void) {
        for frontend in frontends {
            forEachElement(of: frontend, body)
            for (set, pool) in maps(frontend) { forEachSlot(of: frontend, set, pool, body) }
        }
    }

    /// Calls the body with each element of a frontend, except the slots of its pools.
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

    /// Returns the element for one slot of a frontend's pool.
    static func element(_ frontend: ElementBytes, _ layout: PoolLayout, _ slot: Int) -> Element {
        let endpoint = layout.endpoint(slot)
        return Element(
            key: key(frontend, layout.size, slot),
            data: ElementBytes(endpoint.address, port: endpoint.port)
        )
    }

    /// Returns the key of one slot of a frontend's pool with so many slots.
    static func key(_ frontend: ElementBytes, _ size: UInt32, _ slot: Int) -> ElementBytes {
        var key = frontend
        key.append(hostOrder: PoolLayout.firstSlot(size) + UInt32(truncatingIfNeeded: slot))
        return key
    }

    /// Returns the maps that hold the slots of a frontend's pools, with the pools' indexes.
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

    /// Returns the timeout of the affinity that the rules keep; nil if they keep none.
    ///
    /// The rules keep affinity only for frontends whose connections they translate. IPVS keeps that
    /// of its virtual servers, and other programs may translate other connections.
    private func affinityTimeout(_ frontend: Frontend) -> UInt32? {
        maps(frontend).isEmpty ? nil : frontend.affinityTimeout
    }

    /// Returns the sources that may use the frontend; nil if all may.
    private func allowedSources(_ frontend: Frontend) -> [IPPrefix]? {
        guard let sources = frontend.allowedSources,
            !sources.contains(where: { $0.length == 0 })
        else { return nil }
        return sources
    }

    /// Returns the sets, other than `frontends`, that hold the frontend's key alone.
    private func memberships(_ frontend: Frontend) -> [SetID] {
        var sets: [SetID] = []
        switch frontend.action {
        case .balance: break
        case .split(_, let local): if local == nil { sets.append(.noLocalEndpoints) }
        case .reject: sets.append(.noEndpoints)
        case .drop: sets.append(.noLocalEndpoints)
        }
        // Other programs may translate connections to a frontend that rejects or drops; those
        // connections are not masqueraded here.
        switch (frontend.masquerade, frontend.action) {
        case (_, .reject), (_, .drop), (.nonPods, _): break  // nonPods: see `cluster-ips`
        case (.everyone, _): sets.append(.masqueradeFrontends)
        case (.node, _): sets.append(.localPolicy)
        }
        if affinityTimeout(frontend) != nil { sets.append(.sticky) }
        if allowedSources(frontend) != nil { sets.append(.restricted) }
        // Only frontends with a virtual server are steered to this node. All others are refused on
        // their normal route, because the kernel sends no ICMP error from an address that is not
        // the node's (net/ipv4/icmp.c: icmp_send).
        if role == .policy, [.externalIP, .loadBalancerVIP].contains(frontend.kind),
            frontend.action.outerPool != nil
        {
            sets.append(.externalFrontends)
        }
        return sets
    }

    // MARK: What other Services may have, too

    /// The use of a pool's endpoints with one protocol; several frontends together count as one
    /// use.
    struct PoolUse: Hashable {
        let pool: Int
        let transport: TransportProtocol
    }

    /// Returns the uses of pools by a frontend, in a fixed order.
    func uses(_ frontend: Frontend) -> [PoolUse] {
        let pools: [Int] =
            switch frontend.action {
            case .balance(let pool): [pool]
            case .split(let cluster, let local): [cluster] + (local.map { [$0] } ?? [])
            case .reject, .drop: []
            }
        return pools.map { PoolUse(pool: $0, transport: frontend.key.transport) }
    }

    /// Calls the body with the shared element of each use; the same element may come several times.
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

    /// Calls the body with each number that must occur in a rule.
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
