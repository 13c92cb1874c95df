package import Backend
package import KubernetesModel
internal import Logging
package import NetworkTypes
package import PlanCompiler
package import ServicePlan

/// Learns what the reconciler does, and makes metrics, health and events of it.
///
/// The reconciler calls it in order, from one task at a time. It must not block.
package protocol SyncObserver: Sendable {
    /// A change waits to be programmed.
    func changesQueued()
    func synced(_ record: SyncRecord)
    func failed(_ failure: SyncFailure)
    /// The kernel no longer holds what was committed.
    ///
    /// - Parameter delay: the time until the repair; not zero if this happens again and again
    func foreignChange(_ object: ForeignObject, repairAfter delay: Duration)
}

/// Observers that hear the same, one after the other.
package struct SyncObservers: SyncObserver {
    private let all: [any SyncObserver]

    package init(_ all: any SyncObserver...) { self.all = all }

    package func changesQueued() { for observer in all { observer.changesQueued() } }

    package func synced(_ record: SyncRecord) { for observer in all { observer.synced(record) } }

    package func failed(_ failure: SyncFailure) { for observer in all { observer.failed(failure) } }

    package func foreignChange(_ object: ForeignObject, repairAfter delay: Duration) {
        for observer in all { observer.foreignChange(object, repairAfter: delay) }
    }
}

/// A sync that failed; what was programmed before stays.
package struct SyncFailure: Sendable {
    package let error: CommitError
    package let retryAfter: Duration
    /// Some of the Services (`namespace/name`) whose changes wait for the next attempt.
    package var waiting: [String]
    /// The number of all Services whose changes wait.
    package var waitingCount: Int

    package init(
        _ error: CommitError,
        retryAfter: Duration,
        waiting: [String] = [],
        waitingCount: Int = 0
    ) {
        (self.error, self.retryAfter) = (error, retryAfter)
        (self.waiting, self.waitingCount) = (waiting, waitingCount)
    }
}

/// A successful sync.
package struct SyncRecord: Sendable {
    /// Whether it is the first that succeeded.
    package var isFirst = false
    package var isFull = false
    /// Whether the sync repaired a kernel that no longer held what was committed.
    package var isRepair = false
    package var report = CommitReport()
    /// The changes of objects that were programmed.
    package var pending = PendingChanges()
    /// How long the oldest change waited for the sync to begin.
    package var waited = Duration.zero
    package var compiling = Duration.zero
    package var committing = Duration.zero
    /// When the kernel had taken everything.
    package var ended = ContinuousClock.now
    /// The reason for which the kernel refused the changes alone; then everything was compared with
    /// what it holds.
    package var refusal: String?
    /// The number of Services that are programmed.
    package var services = 0
    /// The changes of plans that the kernel has taken; empty for the first sync.
    package var changes: [CommittedChange] = []
    /// What changed about the node, as text.
    package var nodeChanges: [String] = []
    /// The health checks of Services that changed since the last success; nil for a Service without
    /// one.
    package var healthChecks: [String: HealthCheck?] = [:]
    package var nodePortAddresses: [IPAddress] = []
    /// The number of Services whose large change waits for a later sync.
    package var largeChangesWaiting = 0
    /// The diagnostics that owners of Services have not been told yet.
    package var news: [(service: ObjectName, uid: ObjectUID?, diagnostic: Diagnostic)] = []
    /// The forwarded ports of Services that changed since the last success.
    package var forwardedPorts: [String: [ForwardedPort]] = [:]

    package init() {}
}

extension SyncRecord {
    /// - Parameter isFirst: whether no sync was attempted before
    func log(to logger: Logger, isFirst: Bool) {
        guard isFull || !report.isEmpty else { return }
        logger.log(
            level: isFull && !isRepair && (isFirst || !report.isEmpty) ? .info : .debug,
            "synced",
            metadata: [
                "scope": isFull ? "everything" : "changes", "added": "\(report.elementsAdded)",
                "removed": "\(report.elementsRemoved)", "objects": "\(report.objectsChanged)",
                "bytes": "\(report.bytes)", "stale": "\(report.staleEntriesRemoved)",
                "servers": "\(report.serversChanged)",
            ]
        )
    }
}
