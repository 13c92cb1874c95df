package import Backend
package import KubernetesModel
package import ServicePlan

extension Reconciler {
    /// The node's facts; nil before the first compilation.
    package var facts: NodeFacts? { cluster.isCompiled ? cluster.facts : nil }

    /// Returns how the kernel differs from what it should hold; nil before the first compilation.
    package func difference() async throws(CommitError) -> [Difference]? {
        guard let facts else { return nil }
        return try await backend.difference(cluster.plans, node: facts)
    }

    /// Calls a closure with the plan of a Service that the kernel has taken last; nil if it has
    /// none.
    ///
    /// What the observer was told agrees with this plan while the closure runs.
    package func withCommittedPlan<Result: Sendable>(
        of service: ObjectName,
        _ body: @Sendable (ServicePlan?) -> Result
    ) -> Result {
        body(waiting.old(of: service.description) ?? cluster.plan(of: service))
    }

    /// Calls a closure with the objects that are known and their plans, as last compiled; whatever
    /// else there is to do waits for it.
    package func withCluster<Result: Sendable>(
        _ body: @Sendable (borrowing Cluster) -> Result
    ) -> Result {
        body(cluster)
    }
}
