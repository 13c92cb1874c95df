internal import NFTables
internal import NetworkTypes
internal import Netlink
internal import ServicePlan

/// Where connections of a frontend may still go after a commit.
struct FrontendTargets {
    private struct Target: Hashable {
        let address: IPAddress
        let port: UInt16
    }

    private var connections: Set<Target> = []
    private var newConnections: Set<Target> = []

    /// A frontend that no Service has any more: nothing may go there.
    init() {}

    /// - Parameter old: the frontend as it was before, if it was
    init(_ frontend: Frontend, of plan: ServicePlan, replacing old: Frontend?) {
        let pools = plan.pools(of: frontend)
        let targets = { (endpoints: [Endpoint]) in
            endpoints.map { Target(address: $0.address, port: $0.port) }
        }
        for pool in [pools.cluster, pools.local].compactMap(\.self) {
            newConnections.formUnion(targets(pool.endpoints))
            connections.formUnion(targets(pool.endpoints + pool.draining))
        }
        // A client may remember an endpoint that the policy Local, when it came, has taken from it.
        if case .split = frontend.action, let old, case .balance = old.action {
            newConnections = Set(targets(pools.local?.endpoints ?? []))
        }
    }

    /// Whether an existing connection may stay.
    func mayKeep(_ address: IPAddress, _ port: UInt16) -> Bool {
        connections.contains(Target(address: address, port: port))
    }

    /// Whether a client may be sent here again.
    func mayRemember(_ address: IPAddress, _ port: UInt16) -> Bool {
        newConnections.contains(Target(address: address, port: port))
    }

    /// Whether everyone who was allowed before is allowed now.
    func covers(_ old: FrontendTargets) -> Bool {
        connections.isSuperset(of: old.connections)
            && newConnections.isSuperset(of: old.newConnections)
    }
}

/// What a commit may have left behind in the kernel's memory of connections and clients.
struct StaleEntries {
    /// Frontends of connectionless protocols, and those with affinity, that lost an endpoint, came
    /// or went.
    private(set) var tracked: [FrontendKey: FrontendTargets] = [:]
    private(set) var sticky: [FrontendKey: FrontendTargets] = [:]
    /// After a full sync: everything is to be checked, and cluster IPs in here without a frontend
    /// belong to Services that are gone.
    private(set) var serviceCIDRs: [IPPrefix]?

    /// Looks at everything, for the first sync and after failures.
    init(everything plans: [ServicePlan], node: NodeFacts) {
        serviceCIDRs = node.serviceCIDRs
        for plan in plans {
            for frontend in plan.frontends { enter(frontend, plan, replacing: nil) }
        }
    }

    /// Looks at what has changed between plans.
    ///
    /// A frontend that moved from one Service to another is in the plans of both.
    init(_ changes: [(old: ServicePlan?, new: ServicePlan?)]) {
        for (old, new) in changes {
            let before = Self.frontends(old)
            let after = Self.frontends(new)
            for (key, frontend) in before where after[key] == nil && tracked[key] == nil {
                if frontend.needsTracking { tracked[key] = FrontendTargets() }
                if frontend.affinityTimeout != nil { sticky[key] = FrontendTargets() }
            }
            guard let new else { continue }
            for (key, frontend) in after {
                let previous = before[key]
                if let previous, let old {
                    let targets = FrontendTargets(frontend, of: new, replacing: previous)
                    let oldTargets = FrontendTargets(previous, of: old, replacing: nil)
                    if targets.covers(oldTargets),
                        !(previous.affinityTimeout != nil && frontend.affinityTimeout == nil)
                    {
                        continue
                    }
                }
                enter(frontend, new, replacing: previous)
            }
        }
    }

    private mutating func enter(_ frontend: Frontend, _ plan: ServicePlan, replacing old: Frontend?)
    {
        let isSticky = frontend.affinityTimeout != nil || old?.affinityTimeout != nil
        guard isSticky || frontend.needsTracking else { return }
        let targets = FrontendTargets(frontend, of: plan, replacing: old)
        if frontend.needsTracking { tracked[frontend.key] = targets }
        if isSticky {
            sticky[frontend.key] = frontend.affinityTimeout == nil ? FrontendTargets() : targets
        }
    }

    private static func frontends(_ plan: ServicePlan?) -> [FrontendKey: Frontend] {
        Dictionary(
            (plan?.frontends ?? []).map { ($0.key, $0) },
            uniquingKeysWith: { first, _ in first }
        )
    }

    /// Whether a tracked connection goes where the plans no longer send it, or was never sent
    /// anywhere because its frontend did not exist then.
    func isStale(_ connection: TrackedConnection) -> Bool {
        if let targets = tracked[connection.frontend] {
            // A frontend that is gone had no part in what was not translated.
            return !targets.mayKeep(connection.endpointAddress, connection.endpointPort)
        }
        guard let serviceCIDRs, connection.isTranslated else { return false }
        return serviceCIDRs.contains { $0.contains(connection.frontend.address) }
    }
}

extension Frontend {
    /// Without a handshake a client goes on with the same addresses and ports for as long as it
    /// likes, and conntrack sends it to where the first packet went.
    fileprivate var needsTracking: Bool { key.transport != .tcp }
}

extension ConnectionTracking {
    /// Deletes stale connections; returns how many there were, of the families looked at.
    ///
    /// - Parameter drainsSCTP: whether IPVS keeps associations with endpoints that go: without
    ///   conntrack's entry their next packets would be INVALID
    mutating func removeStale(
        _ stale: StaleEntries,
        drainsSCTP: Bool
    ) throws(NetlinkError) -> [IPFamily: ConnectionCleanup] {
        var cleanups: [IPFamily: ConnectionCleanup] = [:]
        for family in IPFamily.allCases {
            let start = ContinuousClock.now
            var count: Int?
            for transport in [TransportProtocol.udp, .sctp] {
                let isConcerned =
                    stale.serviceCIDRs != nil
                    || stale.tracked.keys.contains {
                        $0.transport == transport && $0.address.family == family
                    }
                guard isConcerned else { continue }
                let keepsTranslated = drainsSCTP && transport == .sctp
                let found = try connections(family, transport) { connection in
                    stale.isStale(connection) && !(keepsTranslated && connection.isTranslated)
                }
                for connection in found {
                    count = try (count ?? 0) + (delete(connection) ? 1 : 0)
                }
                count = count ?? 0
            }
            cleanups[family] = count.map {
                ConnectionCleanup(deleted: $0, duration: .now - start)
            }
        }
        return cleanups
    }
}
