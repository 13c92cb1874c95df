package import Journal
internal import NetworkTypes
internal import ServicePlan

/// What was programmed for a Service at a moment: the content of `/history/plan`.
package struct PastPlanDocument: Codable, Sendable {
    package struct Endpoint: Codable, Sendable {
        package let endpoint: String
        /// Nil: since before the journal begins.
        package let since: String?
        package let isOnThisNode: Bool
    }

    package struct Frontend: Codable, Sendable {
        package let frontend: String
        package let kind: String
        package let port: String
        /// Since when it is as it was; nil: since before the journal begins.
        package let since: String?
        /// What happened to new connections, in a few words.
        package let action: String
        /// The endpoints for all clients, or for pods and the node.
        package let endpoints: [Endpoint]
        /// The endpoints for clients from outside, where these have others.
        package let outsideEndpoints: [Endpoint]?
        package let draining: [String]
    }

    package let node: String
    package let service: String
    package let at: String
    /// From when on everything is known.
    package let reachesBackTo: String
    /// Whether there was a plan of the Service.
    package let isProgrammed: Bool
    package let frontends: [Frontend]
    /// What another program had changed and needletail had not repaired.
    package let damage: HistoryDocument.Entry?
    /// What happened since: changes of the Service, and what concerned all.
    package let later: [HistoryDocument.Entry]
    /// The number of later entries that are left out.
    package let laterLeftOut: Int

    package init(
        _ past: PastPlan,
        of service: String,
        at moment: ContinuousClock.Instant,
        _ view: JournalView,
        node: String,
        now: Moment
    ) {
        (self.node, self.service) = (node, service)
        at = now.text(of: moment)
        reachesBackTo = now.text(of: view.since ?? moment)
        isProgrammed = past.plan != nil
        let endpoints = { (pool: Pool) in
            pool.endpoints.map { endpoint in
                Endpoint(
                    endpoint: endpoint.description,
                    since: past.endpointsSince[endpoint.place].map { now.text(of: $0) },
                    isOnThisNode: endpoint.isLocal
                )
            }
        }
        frontends = (past.plan.map { plan in plan.frontends.map { (plan, $0) } } ?? []).map {
            plan,
            frontend in
            let pools = plan.pools(of: frontend)
            let all = [pools.cluster, pools.local].compactMap(\.self)
            return Frontend(
                frontend: frontend.key.description,
                kind: frontend.kind.name,
                port: frontend.portName,
                since: past.frontendsSince[frontend.key].map { now.text(of: $0) },
                action: frontend.action.name,
                endpoints: pools.cluster.map(endpoints) ?? [],
                outsideEndpoints: pools.local.map(endpoints),
                draining: Set(all.flatMap(\.draining)).sorted().map(\.description)
            )
        }
        damage = past.damage.map { HistoryDocument.Entry($0, now) }
        later = past.later.prefix(HistoryDocument.limit).map { HistoryDocument.Entry($0, now) }
        laterLeftOut = max(0, past.later.count - HistoryDocument.limit)
    }

    package var json: String { jsonText(self) }
}
