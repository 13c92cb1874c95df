internal import Backend
internal import NFTables
internal import NetworkTypes
internal import Netlink
internal import ServicePlan

/// What a commit may have left behind in the kernel's memory of connections and clients.
struct StaleEntries {
    /// Frontends of connectionless protocols, and those with affinity, that lost an endpoint or a
    /// client, came or went.
    private(set) var tracked: [FrontendKey: FrontendTargets] = [:]
    private(set) var sticky: [FrontendKey: FrontendTargets] = [:]
    /// After a full sync: everything is to be checked, and cluster IPs in here without a frontend
    /// belong to Services that are gone.
    private(set) var serviceCIDRs: [IPPrefix]?

    /// Looks at everything, for the first sync and after failures.
    ///
    /// - Parameter former: what the kernel had before
    init(everything plans: [ServicePlan], node: NodeFacts, former: FormerFrontends) {
        serviceCIDRs = node.serviceCIDRs
        for key in former.all {
            if key.needsTracking { tracked[key] = FrontendTargets() }
            if former.sticky.contains(key) { sticky[key] = FrontendTargets() }
        }
        for plan in plans {
            for frontend in plan.frontends {
                tracked[frontend.key] = nil
                let targets = FrontendTargets(
                    frontend,
                    of: plan,
                    becameLocal: former.all.contains(frontend.key)
                        && !former.localPolicy.contains(frontend.key)
                )
                enter(
                    frontend,
                    targets,
                    wasSticky: former.sticky.contains(frontend.key)
                )
            }
        }
    }

    /// Looks at what has changed between plans.
    ///
    /// A frontend that moved from one Service to another is in the plans of both.
    init(_ changes: [PlanChange]) {
        for (old, new) in changes.lazy.map({ ($0.old, $0.new) }) {
            let before = Self.frontends(old)
            let after = Self.frontends(new)
            for (key, frontend) in before where after[key] == nil {
                if key.needsTracking, tracked[key] == nil { tracked[key] = FrontendTargets() }
                if frontend.affinityTimeout != nil, sticky[key] == nil {
                    sticky[key] = FrontendTargets()
                }
            }
            guard let new else { continue }
            for (key, frontend) in after {
                let previous = before[key]
                let wasSticky = previous?.affinityTimeout != nil
                guard key.needsTracking || wasSticky || frontend.affinityTimeout != nil else {
                    continue
                }
                let targets = FrontendTargets(
                    frontend,
                    of: new,
                    becameLocal: previous.map { $0.masquerade != .node } ?? false
                )
                if let previous, let old, !wasSticky || frontend.affinityTimeout != nil,
                    targets.covers(FrontendTargets(previous, of: old, becameLocal: false))
                {
                    continue
                }
                enter(frontend, targets, wasSticky: wasSticky)
            }
        }
    }

    private mutating func enter(
        _ frontend: Frontend,
        _ targets: FrontendTargets,
        wasSticky: Bool
    ) {
        if frontend.key.needsTracking { tracked[frontend.key] = targets }
        if frontend.affinityTimeout != nil {
            sticky[frontend.key] = targets
        } else if wasSticky {
            sticky[frontend.key] = FrontendTargets()
        }
    }

    private static func frontends(_ plan: ServicePlan?) -> [FrontendKey: Frontend] {
        Dictionary(
            (plan?.frontends ?? []).map { ($0.key, $0) },
            uniquingKeysWith: { first, _ in first }
        )
    }

    /// Whether connections of a protocol and family are to be looked at.
    func concerns(_ transport: TransportProtocol, _ family: IPFamily) -> Bool {
        serviceCIDRs != nil
            || tracked.keys.contains { $0.transport == transport && $0.address.family == family }
    }

    /// What becomes of a tracked connection that may go where the plans no longer send it, or was
    /// never sent anywhere because its frontend did not exist then.
    func verdict(_ connection: TrackedConnection) -> FrontendTargets.Verdict {
        if let targets = tracked[connection.frontend] { return targets.verdict(connection) }
        guard let serviceCIDRs, connection.isTranslated,
            serviceCIDRs.contains(where: { $0.contains(connection.frontend.address) })
        else { return .all }
        return .nobody
    }
}

extension FrontendKey {
    /// Without a handshake a client goes on with the same addresses and ports for as long as it
    /// likes, and conntrack sends it to where the first packet went.
    fileprivate var needsTracking: Bool { transport != .tcp }
}

extension ConnectionTracking {
    /// Deletes stale connections; returns how many there were, of the families looked at.
    ///
    /// One that cannot be deleted, like those that a flow table has, keeps no other.
    ///
    /// - Parameter drainsSCTP: whether IPVS keeps associations with endpoints that go: without
    ///   conntrack's entry their next packets would be INVALID
    mutating func removeStale(
        _ stale: StaleEntries,
        drainsSCTP: Bool,
        isOutsider: (IPAddress) -> Bool,
        onFailure: (NetlinkError) -> Void
    ) -> [IPFamily: ConnectionCleanup] {
        var cleanups: [IPFamily: ConnectionCleanup] = [:]
        for family in IPFamily.allCases {
            let start = ContinuousClock.now
            var count: Int?
            for transport in [TransportProtocol.udp, .sctp]
            where stale.concerns(transport, family) {
                count = count ?? 0
                let keepsTranslated = drainsSCTP && transport == .sctp
                do throws(NetlinkError) {
                    let found = try connections(family, transport) {
                        stale.verdict($0) != .all && !(keepsTranslated && $0.isTranslated)
                    }
                    for connection in found {
                        let verdict = stale.verdict(connection)
                        if verdict != .nobody {
                            let keeps =
                                isOutsider(connection.clientAddress)
                                ? verdict.outsiders : verdict.insiders
                            if keeps { continue }
                        }
                        do throws(NetlinkError) {
                            if try delete(connection) { count = (count ?? 0) + 1 }
                        } catch {
                            onFailure(error)
                        }
                    }
                } catch {
                    onFailure(error)
                }
            }
            cleanups[family] = count.map {
                ConnectionCleanup(deleted: $0, duration: .now - start)
            }
        }
        return cleanups
    }
}
