package import ClusterStore
internal import FoundationEssentials
package import Logging
package import NetworkTypes
package import ServicePlan
internal import Synchronization
package import Syncer

/// Makes metrics, health, log lines and events of what the syncer does.
package final class ProxyMonitor: SyncObserver {
    /// A word, a word, and for people: what an event of the node says.
    package typealias Announce = @Sendable (_ reason: String, _ action: String, String) -> Void

    private struct State {
        var health: ProxyHealth
        var lastSync: StatusDocument.Sync?
        var drift = StatusDocument.Drift()
        var foreignSince: ContinuousClock.Instant?
        /// When drift was last told, and how often it happened since.
        var lastTold: ContinuousClock.Instant?
        var untold = 0
    }

    package let metrics: ProxyMetrics
    private let families: [IPFamily]
    private let logger: Logger
    private let announce: Announce
    private let onSynced: @Sendable (SyncRecord) -> Void
    private let started = Date().timeIntervalSince1970
    private let state: Mutex<State>

    /// - Parameter patience: seconds for which an update may wait
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
                health: ProxyHealth(
                    families: families,
                    patience: patience,
                    now: Date().timeIntervalSince1970
                )
            )
        )
    }

    // MARK: What the syncer tells

    package func changesQueued() {
        let now = Date().timeIntervalSince1970
        state.withLock { $0.health.queued(at: now) }
        for family in families { metrics.lastQueued.set(now, family.kubernetesName) }
    }

    package func synced(_ record: SyncRecord) {
        let now = Date().timeIntervalSince1970
        let repair = state.withLock { state -> Duration? in
            state.health.updated(at: now)
            state.health.reasonNotReady = nil
            state.lastSync = StatusDocument.Sync(record, at: now)
            guard record.isRepair, let since = state.foreignSince else { return nil }
            state.foreignSince = nil
            state.drift.repaired += 1
            return .now - since
        }
        if let repair {
            metrics.driftRepaired.add()
            metrics.repairDuration.observe(repair.seconds)
        }
        metrics.record(record, families: families, now: now, started: started)
        onSynced(record)
    }

    package func failed(_ error: CommitError, retryAfter: Duration) {
        state.withLock { $0.health.reasonNotReady = "the last sync failed: \(error)" }
        metrics.failures.add()
        for family in families { metrics.nftablesFailures.add(1, family.kubernetesName) }
    }

    package func foreignChange(_ object: ForeignObject, repairAfter delay: Duration) {
        let now = ContinuousClock.now
        metrics.driftDetected.add(1, object.rawValue)
        let told = state.withLock { state -> Int? in
            state.foreignSince = state.foreignSince ?? now
            state.health.reasonNotReady =
                "another program has changed needletail's \(object.rawValue); repairing"
            state.drift.detected += 1
            state.drift.last = ProxyHealth.text(Date().timeIntervalSince1970)
            if let last = state.lastTold, now - last < .seconds(60) {
                state.untold += 1
                return nil
            }
            defer { (state.lastTold, state.untold) = (now, 0) }
            return state.untold
        }
        guard let told else { return }
        var text = "another program changed needletail's \(object.rawValue); repairing"
        if told > 0 { text += " (and \(told) times since this was last said)" }
        if delay > .zero { text += "; as it goes on, repairs are now paced" }
        logger.warning("\(text)")
        announce("ForeignChange", "Repair", text)
    }

    // MARK: What others know

    /// Which lists the first sync waits for.
    package func setAwaited(_ lists: [String]) {
        state.withLock { state in
            guard state.lastSync == nil else { return }
            state.health.reasonNotReady =
                "the first sync is not done"
                + (lists.isEmpty
                    ? ""
                    : "; the API server has not sent " + lists.sorted().joined(separator: ", "))
        }
    }

    /// Nil: connections may come.
    package func setEligibility(_ reason: String?) {
        state.withLock { $0.health.reasonNotEligible = reason }
    }

    package var isHealthy: Bool {
        let now = Date().timeIntervalSince1970
        return state.withLock { $0.health.isHealthy(at: now) }
    }

    package func healthz() -> HTTPResponse {
        let now = Date().timeIntervalSince1970
        let answer = state.withLock { $0.health.answer(withEligibility: true, at: now) }
        metrics.healthz.add(1, "\(answer.status)")
        return answer
    }

    package func livez() -> HTTPResponse {
        let now = Date().timeIntervalSince1970
        let answer = state.withLock { $0.health.answer(withEligibility: false, at: now) }
        metrics.livez.add(1, "\(answer.status)")
        return answer
    }

    package func updateReadiness() {
        let isReady = state.withLock { $0.health.reasonNotReady == nil }
        metrics.ready.set(isReady ? 1 : 0)
        metrics.healthcheck.set(isReady ? 1 : 0, "programmed", "readyz")
    }

    /// Takes over what is not counted as it happens.
    package func update(_ summary: StoreSummary) {
        updateReadiness()
        metrics.process.update()
        metrics.services.set(Double(summary.services))
        metrics.endpoints.set(Double(summary.endpoints))
        metrics.serviceChangesPending.set(Double(summary.pending.services))
        metrics.endpointChangesPending.set(Double(summary.pending.endpoints))
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

    package func readyz() -> HTTPResponse { state.withLock { $0.health.readiness() } }

    /// - Parameter summary: what the store holds
    package func status(
        version: String,
        mode: String,
        node: String,
        _ summary: StoreSummary,
        viewAge: [String: Double]
    ) -> StatusDocument {
        let now = Date().timeIntervalSince1970
        return state.withLock { state in
            let isHealthy = state.health.isHealthy(at: now)
            return StatusDocument(
                version: version,
                mode: mode,
                node: node,
                started: ProxyHealth.text(started),
                ready: state.health.reasonNotReady == nil,
                reason: state.health.reasonNotReady,
                nodeEligible: state.health.reasonNotEligible == nil,
                services: summary.services,
                endpoints: summary.endpoints,
                pendingChanges: summary.pending.services + summary.pending.endpoints,
                missingLists: summary.missing.map(\.rawValue).sorted(),
                lastSync: state.lastSync,
                drift: state.drift,
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
            lastSync.set(now, family)
            // What happened before the start says nothing of us.
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
