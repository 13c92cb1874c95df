package import Backend
package import KubernetesModel
package import NetworkTypes
package import PlanCompiler
package import ServicePlan

/// Hears what the reconciler does: metrics, health and events are made of it.
///
/// Called in order, from one task at a time; must not block.
package protocol SyncObserver: Sendable {
    /// Something waits to be programmed.
    func changesQueued()
    func synced(_ record: SyncRecord)
    func failed(_ error: CommitError, retryAfter: Duration)
    /// The kernel does not hold any more what was committed.
    ///
    /// - Parameter delay: until the repair; not zero if this happens again and again
    func foreignChange(_ object: ForeignObject, repairAfter delay: Duration)
}

/// A successful sync.
package struct SyncRecord: Sendable {
    package var isFull = false
    /// It was made because the kernel did not hold what was committed.
    package var isRepair = false
    package var report = CommitReport()
    /// What was programmed.
    package var pending = PendingChanges()
    /// For how long the first change waited, and what compiling and committing took.
    package var waited = Duration.zero
    package var compiling = Duration.zero
    package var committing = Duration.zero
    /// Of Services that changed since the last success; nil: it has none.
    package var healthChecks: [String: HealthCheck?] = [:]
    package var nodePortAddresses: [IPAddress] = []
    /// What the owners of Services should hear, that they have not heard yet.
    package var news: [(service: ObjectName, diagnostic: Diagnostic)] = []
    /// Of Services that changed since the last success.
    package var forwardedPorts: [String: [ForwardedPort]] = [:]

    package init() {}
}
