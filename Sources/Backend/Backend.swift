package import NetworkTypes
package import ServicePlan

/// Programs a kernel: all in which one mode differs from another is behind this protocol.
///
/// A backend remembers what it has committed. After an error it does not, and `adopt` must come before
/// the next `commit`.
package protocol Backend: Sendable {
    /// The IP families that this kernel speaks.
    nonisolated var families: [IPFamily] { get }

    /// Makes the kernel hold what these plans say, and nothing else of ours.
    ///
    /// It reads the kernel first and sends what differs.
    func adopt(_ plans: [ServicePlan], node: NodeFacts) async throws(CommitError) -> CommitReport

    /// Programs what has changed since the last `adopt` or `commit`.
    func commit(_ changes: [PlanChange], node: NodeFacts) async throws(CommitError) -> CommitReport

    /// Does what time alone makes due; after an error everything is to be adopted again.
    func maintain() async throws(CommitError) -> Maintenance

    /// Tells of what others do to the kernel, until the task is cancelled.
    func watch(_ tell: @escaping @Sendable (BackendEvent) async -> Void) async throws(CommitError)

    /// What `adopt` would change; touches nothing.
    func difference(
        _ plans: [ServicePlan],
        node: NodeFacts
    ) async throws(CommitError) -> [Difference]

    /// What the kernel has of one frontend beside its configuration.
    ///
    /// - Parameter client: whose remembered endpoint is wanted
    func inspect(
        _ frontend: FrontendKey,
        client: IPAddress?
    ) async throws(CommitError) -> FrontendInspection

    /// The elements of each of our sets.
    func elementCounts() async -> [ElementCount]

    /// How many connections the kernel has counted, by `namespace/name`, if it does.
    func connectionCounts() async -> [String: UInt64]

    /// The chains of others that decide what is forwarded; from then on `watch` tells of their changes.
    func forwardChains() async throws(CommitError) -> [ForwardChain]

    /// Removes all that is ours, of every mode; returns what there was.
    ///
    /// - Parameter kubeProxy: whether what kube-proxy has left goes as well
    func clean(kubeProxy: Bool, dryRun: Bool) async throws(CommitError) -> [Difference]
}

/// What others did to the kernel.
package enum BackendEvent: Sendable, Hashable {
    /// They changed what is ours.
    case foreignChange(ForeignObject)
    /// They may have changed what is forwarded.
    case forwarding
}

/// What somebody else changed.
package enum ForeignObject: String, Sendable, Hashable, CaseIterable {
    case table, servers, addresses
}

/// How maintenance goes on.
package enum Maintenance: Sendable, Hashable {
    /// There is nothing that time brings.
    case finished
    case again(after: Duration)
    /// Everything must be compared with the kernel, and then as before.
    case resync
}

/// How many elements a set has.
package struct ElementCount: Sendable, Hashable {
    package let set: String
    package let family: IPFamily
    package let count: Int

    package init(set: String, family: IPFamily, count: Int) {
        (self.set, self.family, self.count) = (set, family, count)
    }
}
