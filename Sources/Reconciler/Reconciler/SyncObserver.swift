package import Backend
package import KubernetesModel
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
    func failed(_ error: CommitError, retryAfter: Duration)
    /// The kernel no longer holds what was committed.
    ///
    /// - Parameter delay: the time until the repair; not zero if this happens again and again
    func foreignChange(_ object: ForeignObject, repairAfter delay: Duration)
}

/// A successful sync.
package struct SyncRecord: Sendable {
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
