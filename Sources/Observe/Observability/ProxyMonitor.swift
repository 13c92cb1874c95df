package import Backend
package import Logging
package import NetworkTypes
internal import ServicePlan
internal import Synchronization
package import Reconciler

/// Turns the syncer's reports into metrics, health, log lines and events.
package final class ProxyMonitor: SyncObserver {
    /// Sends an event about the node, with its reason, its action and a text for people.
    package typealias Announce = @Sendable (_ reason: String, _ action: String, String) -> Void

    private struct State {
        var health: ProxyHealth
        var lastSync: (record: SyncRecord, at: ContinuousClock.Instant)?
        var lastQueued: ContinuousClock.Instant?
        var driftDetected = 0
        var driftRepaired = 0
        var lastDrift: ContinuousClock.Instant?
        var foreignSince: ContinuousClock.Instant?
        /// The time of the last log line about drift, and the number of drifts since then.
        var lastTold: ContinuousClock.Instant?
        var untold = 0
        var obstacles: [ForwardingObstacle] = []
        /// The things that could not be inspected, each reported once.
        var unread: [String] = []
    }

    package let metrics: ProxyMetrics
    private let families: [IPFamily]
    private let logger: Logger
    private let announce: Announce
    private let onSynced: @Sendable (SyncRecord) -> Void
    private let started = ContinuousClock.now
    private let state: Mutex<State>

    /// Makes a monitor.
    ///
    /// - Parameter patience: the time in seconds that an update may wait
    package init(
        _ metrics: ProxyMetrics,
        families: [IPFamily],
        patience: Double,
        logger: Logger,
        announce: @escaping Announce,
        onSynced: @escaping @Sendable (SyncRecord) -> Void
    ) {
        (self.metrics, self.families, self.logger) = (metrics, families, logger)
        (self.announce, self.onSynced) = (announce, onSynced)
        state = Mutex(
            State(
                health: ProxyHealth(families: families, patience: patience, now: started)
            )
        )
    }

    // MARK: Reports of the syncer

    package func changesQueued() {
        let now = ContinuousClock.now
        state.withLock { state in
            state.health.queued(at: now)
            state.lastQueued = now
        }
    }

    package func synced(_ record: SyncRecord) {
        let now = Moment.now
        let repair = state.withLock { state -> Duration? in
            state.health.updated(at: now.instant)
            // Other changes are committed while damage still waits for its repair.
            if record.isRepair || state.foreignSince == nil { state.health.reasonNotReady = nil }
            state.lastSync = (record.withoutObjects, now.instant)
            guard record.isRepair, let since = state.foreignSince else { return nil }
            state.foreignSince = nil
            state.driftRepaired += 1
            return now.instant - since
        }
        if let repair {
            metrics.driftRepaired.add()
            metrics.repairDuration.observe(repair.seconds)
        }
        metrics.record(record, families: families, now: now.time, started: now.time(of: started))
        onSynced(record)
    }

    package func failed(_ failure: SyncFailure) {
        state.withLock { $0.health.reasonNotReady = "the last sync failed: \(failure.error)" }
        metrics.failures.add()
        for family in families { metrics.nftablesFailures.add(1, family.kubernetesName) }
    }

    package func foreignChange(_ object: ForeignObject, repairAfter delay: Duration) {
        let now = ContinuousClock.now
        metrics.driftDetected.add(1, object.rawValue)
        let told = state.withLock { state -> Int? in
            state.foreignSince = state.foreignSince ?? now
            state.health.reasonNotReady =
                "another program has changed needletail's \(object.words); repairing"
            state.driftDetected += 1
            state.lastDrift = now
            if let last = state.lastTold, now - last < .seconds(60) {
                state.untold += 1
                return nil
            }
            defer { (state.lastTold, state.untold) = (now, 0) }
            return state.untold
        }
        guard let told else { return }
        var text = "another program changed needletail's \(object.words); repairing"
        if told > 0 { text += " (and \(told) times since this was last said)" }
        if delay > .zero {
            text += "; it goes on, so repairs are paced and Services may fail in between: stop it"
        }
        if object == .table { text += "; nft monitor tells who it is" }
        logger.warning("\(text)")
        announce("ForeignChange", "Repair", text)
    }

    // MARK: Reports of others

    /// Whether another process programs this node.
    package var isStandby: Bool { state.withLock(\.health.isStandby) }

    /// Takes note that another process programs this node; the reason says which.
    package func standBy(_ reason: String) {
        state.withLock { $0.health.standBy(reason) }
        metrics.standby.set(1)
    }

    /// Takes note that this process programs the node from now on.
    package func takeCharge() {
        let now = ContinuousClock.now
        state.withLock { $0.health.takeCharge(at: now) }
        metrics.standby.set(0)
    }

    /// Sets the reason why no connections should come; nil if they may come.
    package func setEligibility(_ reason: String?) {
        state.withLock { $0.health.reasonNotEligible = reason }
    }

    /// Sets the obstacles to forwarding that were found, and what could not be inspected.
    package func setForwarding(_ obstacles: [ForwardingObstacle], unread: [String]) {
        let (old, wasUnread) = state.withLock { state in
            defer { (state.obstacles, state.unread) = (obstacles, unread) }
            return (state.obstacles, state.unread)
        }
        let counts = ForwardingObstacle.Cause.allCases.flatMap { cause in
            families.map { family in
                (
                    labels: [cause.rawValue, family.kubernetesName],
                    value: Double(
                        obstacles.count { $0.cause == cause && $0.families.contains(family) }
                    )
                )
            }
        }
        metrics.forwardingObstacles.replace(counts)
        for obstacle in obstacles where !old.contains(where: { $0.subject == obstacle.subject }) {
            let text = "traffic to pods may be dropped: \(obstacle.text)"
            logger.warning("\(text)")
            announce("ForwardingBlocked", "Look", text)
        }
        for obstacle in old where !obstacles.contains(where: { $0.subject == obstacle.subject }) {
            logger.notice("\(obstacle.subject) does not stand in the way of forwarding any more")
        }
        for problem in unread where !wasUnread.contains(problem) {
            logger.warning("whether this node forwards cannot be seen: \(problem)")
        }
    }

    package var isHealthy: Bool {
        let now = ContinuousClock.now
        return state.withLock { $0.health.isHealthy(at: now) }
    }

    package func healthz() -> HTTPResponse {
        let now = Moment.now
        let answer = state.withLock { $0.health.answer(withEligibility: true, at: now) }
        metrics.healthz.add(1, "\(answer.status)")
        return answer
    }

    package func livez() -> HTTPResponse {
        let now = Moment.now
        let answer = state.withLock { $0.health.answer(withEligibility: false, at: now) }
        metrics.livez.add(1, "\(answer.status)")
        return answer
    }

    package func updateReadiness() {
        let isReady = state.withLock { $0.health.reasonNotReady == nil }
        metrics.ready.set(isReady ? 1 : 0)
        metrics.healthcheck.set(isReady ? 1 : 0, "programmed", "readyz")
    }

    /// Updates the metrics that are not counted as events happen.
    package func update(_ summary: ClusterSummary) {
        updateReadiness()
        updateTimes()
        metrics.services.set(Double(summary.services))
        metrics.endpoints.set(Double(summary.endpoints))
        metrics.serviceChangesPending.set(Double(summary.pendingServices))
        metrics.endpointChangesPending.set(Double(summary.pendingEndpoints))
        for family in IPFamily.allCases {
            for isExternal in [true, false] {
                let gap = LocalGap(family: family, isExternal: isExternal)
                metrics.noLocalEndpoints.set(
                    Double(summary.localGaps[gap] ?? 0),
                    isExternal ? "external" : "internal",
                    family.kubernetesName
                )
            }
        }
    }

    /// Updates the metrics that are times, by the present wall clock.
    private func updateTimes() {
        let now = Moment.now
        let (synced, queued) = state.withLock { ($0.lastSync?.at, $0.lastQueued) }
        for family in families.map(\.kubernetesName) {
            if let synced { metrics.lastSync.set(now.time(of: synced), family) }
            if let queued { metrics.lastQueued.set(now.time(of: queued), family) }
        }
        metrics.process.update(started: now.time(of: started))
    }

    /// Returns the answer for `/readyz`.
    ///
    /// - Parameter lists: the essential lists that have not arrived yet
    package func readyz(awaiting lists: Set<ObjectList> = []) -> HTTPResponse {
        state.withLock { $0.health.readiness(awaiting: lists.map(\.rawValue).sorted()) }
    }

    /// Returns the status document.
    ///
    /// - Parameter summary: the content of the store
    package func status(
        version: String,
        mode: String,
        node: String,
        _ summary: ClusterSummary,
        viewAge: [String: Double]
    ) -> StatusDocument {
        let now = Moment.now
        return state.withLock { state in
            let isHealthy = state.health.isHealthy(at: now.instant)
            return StatusDocument(
                version: version,
                mode: mode,
                node: node,
                started: now.text(of: started),
                ready: state.health.reasonNotReady == nil,
                reason: state.health.reasonNotReady,
                nodeEligible: state.health.reasonNotEligible == nil,
                notEligibleReason: state.health.reasonNotEligible,
                services: summary.services,
                endpoints: summary.endpoints,
                pendingChanges: summary.pendingServices + summary.pendingEndpoints,
                missingLists: summary.missing.map(\.rawValue).sorted(),
                lastSync: state.lastSync.map {
                    StatusDocument.Sync($0.record, at: now.text(of: $0.at))
                },
                drift: StatusDocument.Drift(
                    detected: state.driftDetected,
                    repaired: state.driftRepaired,
                    last: state.lastDrift.map(now.text)
                ),
                forwarding: state.obstacles.map(\.text),
                apiViewAgeSeconds: viewAge,
                families: Dictionary(
                    uniqueKeysWithValues: families.map { ($0.kubernetesName, isHealthy) }
                )
            )
        }
    }
}

extension ProxyMetrics {
    fileprivate func record(
        _ record: SyncRecord,
        families: [IPFamily],
        now: Double,
        started: Double
    ) {
        let total = (record.compiling + record.committing).seconds
        for family in families.map(\.kubernetesName) {
            syncDuration.observe(total, family)
            (record.isFull ? fullSyncDuration : partialSyncDuration).observe(total, family)
            // Changes from before the start say nothing about this process.
            for time in record.pending.changeTimes.map({ Double($0) / 1000 }) where time > started {
                programmingDuration.observe(max(0, now - time), family)
            }
        }
        serviceChanges.add(Double(record.pending.services))
        endpointChanges.add(Double(record.pending.endpoints))
        stageDuration.observe(record.waited.seconds, "wait")
        stageDuration.observe(record.compiling.seconds, "compile")
        stageDuration.observe(record.committing.seconds, "commit")
        let report = record.report
        if report.bytes > 0 { transactionBytes.observe(Double(report.bytes)) }
        largeChangesWaiting.set(Double(record.largeChangesWaiting))
        elementsChanged.add(Double(report.elementsAdded), "add")
        elementsChanged.add(Double(report.elementsRemoved), "remove")
        serversChanged.add(Double(report.serversChanged))
        stale.add(Double(report.staleEntriesRemoved))
        for (family, cleanup) in report.connectionCleanups {
            conntrackDuration.observe(cleanup.duration.seconds, family.kubernetesName)
            conntrackDeleted.add(Double(cleanup.deleted), family.kubernetesName)
        }
    }
}

extension SyncRecord {
    /// A copy to keep, without the parts that grow with the cluster.
    fileprivate var withoutObjects: SyncRecord {
        var record = self
        (record.healthChecks, record.nodePortAddresses) = ([:], [])
        (record.pending, record.changes) = (PendingChanges(), [])
        return record
    }
}

extension ForeignObject {
    var words: String {
        switch self {
        case .table: "tables in nf_tables"
        case .servers: "virtual servers in IPVS"
        case .addresses: "addresses on kube-ipvs0"
        }
    }
}
