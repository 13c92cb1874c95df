internal import Backend
internal import NFTables
internal import NetworkTypes
internal import Netlink
internal import ServicePlan

/// The frontends whose tracked connections and affinity entries a commit may have made stale.
struct StaleEntries {
    /// The UDP and SCTP frontends that are new or gone, or that lost endpoints or allowed clients.
    private(set) var tracked: [FrontendKey: FrontendTargets] = [:]
    /// The frontends that have or had affinity and are new or gone, or that lost endpoints or
    /// allowed clients.
    private(set) var sticky: [FrontendKey: FrontendTargets] = [:]
    /// The Service CIDRs after everything was adopted, when all connections must be checked;
    /// otherwise nil.
    ///
    /// An address in these blocks without a frontend belongs to a Service that is gone.
    private(set) var serviceCIDRs: [IPPrefix]?

    /// Considers all frontends, for the first sync and after failures.
    ///
    /// - Parameter former: the frontends that the kernel had before
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

    /// Considers the frontends that changed between plans.
    ///
    /// A frontend that moved from one Service to another is in the changes of both.
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

    /// Whether connections of this protocol and family must be checked.
    func concerns(_ transport: TransportProtocol, _ family: IPFamily) -> Bool {
        serviceCIDRs != nil
            || tracked.keys.contains { $0.transport == transport && $0.address.family == family }
    }

    /// Returns who may keep a tracked connection.
    ///
    /// A connection may go to an endpoint that the plans no longer have, or to none because it
    /// began before its frontend existed.
    func verdict(_ connection: TrackedConnection) -> FrontendTargets.Verdict {
        if let targets = tracked[connection.frontend] { return targets.verdict(connection) }
        guard let serviceCIDRs, connection.isTranslated,
            serviceCIDRs.contains(where: { $0.contains(connection.frontend.address) })
        else { return .all }
        return .nobody
    }
}

extension FrontendKey {
    /// Whether stale connections must be deleted from connection tracking, which is so for UDP and
    /// SCTP.
    ///
    /// Such a client may use the same addresses and ports for ever, and conntrack keeps sending it
    /// to where its first packet went.
    fileprivate var needsTracking: Bool { transport != .tcp }
}

extension ConnectionTracking {
    /// Deletes stale connections, and returns how many were deleted in each family that was
    /// searched.
    ///
    /// A connection that cannot be deleted, such as one in a flow table, does not stop the others
    /// from being deleted.
    ///
    /// - Parameters:
    /// - drainsSCTP: whether IPVS keeps SCTP associations with endpoints that are going away; their
    /// entries stay, since without them the next packets would be INVALID
    /// - isOutsider: whether a client is neither a pod nor this node
    /// - onFailure: called with each error
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
