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

/// A plan with its pools laid out in slots: all that the elements of a Service depend on.
package struct LaidOutPlan: Sendable, Hashable {
    package let plan: ServicePlan
    private let balancer: Balancer
    /// In the order of the plan's pools.
    package let layouts: [PoolLayout]

    package init(
        _ plan: ServicePlan,
        _ balancer: Balancer,
        previous: (_ pool: Int) -> PoolLayout?
    ) {
        self.plan = plan
        self.balancer = balancer
        layouts = plan.pools.indices.map {
            PoolLayout(plan.pools[$0].endpoints, previous: previous($0))
        }
    }

    package init(_ plan: ServicePlan, _ balancer: Balancer, replacing old: LaidOutPlan?) {
        self.init(plan, balancer) { pool in
            // The same port's pool has the same place as long as the Service keeps its shape.
            guard let old, old.layouts.indices.contains(pool) else { return nil }
            return old.layouts[pool]
        }
    }

    /// Calls the body for each element that is this Service's alone.
    package func forEachElement(_ family: IPFamily, _ body: (SetID, Element) -> Void) {
        for frontend in plan.frontends where frontend.key.address.family == family {
            let key = ElementBytes(frontend.key)
            body(.frontends, Element(key: key, comment: Self.comment(plan.portLabel(frontend))))
            forEachSlot(frontend, key, body)
            for set in memberships(frontend) { body(set, Element(key: key)) }
            if let timeout = affinityTimeout(frontend) {
                body(.stickyTimeout(timeout), Element(key: key))
            }
            for source in frontend.allowedSources ?? [] {
                var (first, last) = (key, key)
                first.append(source.base)
                last.append(source.last)
                body(.allowedSources, Element(key: first, keyEnd: last))
            }
        }
    }

    private func forEachSlot(
        _ frontend: Frontend,
        _ key: ElementBytes,
        _ body: (SetID, Element) -> Void
    ) {
        for (set, pool) in maps(frontend) {
            let layout = layouts[pool]
            let first = PoolLayout.firstSlot(layout.size)
            for (index, endpoint) in layout.endpoints.enumerated() {
                var slot = key
                slot.append(hostOrder: first + UInt32(index))
                body(
                    set,
                    Element(key: slot, data: ElementBytes(endpoint.address, port: endpoint.port))
                )
            }
        }
    }

    /// The maps that a frontend's pools are in.
    private func maps(_ frontend: Frontend) -> [(SetID, Int)] {
        switch (frontend.action, balancer) {
        case (.balance(let pool), .nftables): [(.endpoints, pool)]
        case (.split(let cluster, let local), .nftables):
            [(.endpoints, cluster)] + (local.map { [(.localEndpoints, $0)] } ?? [])
        case (.split(let cluster, _), .ipvs): [(.endpoints, cluster)]
        case (.balance, .ipvs), (.reject, _), (.drop, _): []
        }
    }

    /// The timeout of the affinity that the rules keep; IPVS keeps that of its virtual servers.
    private func affinityTimeout(_ frontend: Frontend) -> UInt32? {
        balancer == .ipvs && maps(frontend).isEmpty ? nil : frontend.affinityTimeout
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
        switch frontend.masquerade {
        case .everyone: sets.append(.masqueradeFrontends)
        case .nonPods: break  // `cluster-ips` tells
        case .node: sets.append(.localPolicy)
        }
        if affinityTimeout(frontend) != nil { sets.append(.sticky) }
        if frontend.allowedSources != nil { sets.append(.restricted) }
        if balancer == .ipvs, [.externalIP, .loadBalancerVIP].contains(frontend.kind) {
            sets.append(.externalFrontends)
        }
        return sets
    }

    /// Calls the body for each element that other Services may have too, once.
    package func sharedElements(_ family: IPFamily) -> Set<SharedElement> {
        var shared: Set<SharedElement> = []
        for frontend in plan.frontends where frontend.key.address.family == family {
            if frontend.kind == .clusterIP { shared.insert(.clusterIP(frontend.key.address)) }
            let pools = plan.pools(of: frontend)
            for endpoint in (pools.cluster?.endpoints ?? []) + (pools.local?.endpoints ?? []) {
                shared.insert(
                    .serviceEndpoint(endpoint.address, endpoint.port, frontend.key.transport)
                )
                if endpoint.isLocal { shared.insert(.hairpin(endpoint.address)) }
            }
        }
        return shared
    }

    /// Calls the body with each number that rules must know: pool sizes and affinity timeouts.
    package func forEachNumber(
        _ family: IPFamily,
        _ body: (WritableKeyPath<RuleNumberUsage, NumberUsage>, UInt32) -> Void
    ) {
        for frontend in plan.frontends where frontend.key.address.family == family {
            for (set, pool) in maps(frontend) {
                body(set == .endpoints ? \.poolSizes : \.localPoolSizes, layouts[pool].size)
            }
            if let timeout = affinityTimeout(frontend) { body(\.affinityTimeouts, timeout) }
        }
    }

    /// nft takes comments of 128 bytes at most; names are ASCII.
    private static func comment(_ label: String) -> String {
        let label = label.nftQuotable
        return label.utf8.count <= 127 ? label : String(label.prefix(124)) + "..."
    }
}
