package import NetworkTypes
package import ServicePlan

/// Programs a kernel; every difference between the modes is behind this protocol.
///
/// A backend remembers what it has committed. An error makes it forget: then `adopt` must come
/// before the next `commit`.
package protocol Backend: Sendable {
    /// The IP families that this kernel supports.
    nonisolated var families: [IPFamily] { get }

    /// Makes the kernel hold what these plans say, and no other object of needletail's.
    ///
    /// It reads the kernel first and sends only the differences. A kernel that holds nothing of
    /// needletail's may get the first plans before the others are asked for.
    func adopt(_ supply: PlanSupply, node: NodeFacts) async throws(CommitError) -> CommitReport

    /// Programs the changes since the last `adopt` or `commit`.
    func commit(_ changes: [PlanChange], node: NodeFacts) async throws(CommitError) -> CommitReport

    /// Does the work that becomes due by time alone.
    ///
    /// After an error the caller must adopt everything again.
    func maintain() async throws(CommitError) -> Maintenance

    /// Reports what other programs do to the kernel, until the task is cancelled.
    func watch(_ tell: @escaping @Sendable (BackendEvent) async -> Void) async throws(CommitError)

    /// Returns what `adopt` would change, without changing anything.
    func difference(
        _ plans: [ServicePlan],
        node: NodeFacts
    ) async throws(CommitError) -> [Difference]

    /// Returns what `adopt` would change for some Services, if there are others of which nothing is said
    /// here.
    ///
    /// The cost does not depend on how many others there are.
    func difference(
        for services: [ServicePlan],
        node: NodeFacts
    ) async throws(CommitError) -> [Difference]

    /// Returns what the kernel knows about one frontend apart from its configuration.
    ///
    /// - Parameter client: the client whose remembered endpoint is wanted; nil for none
    func inspect(
        _ frontend: FrontendKey,
        client: IPAddress?
    ) async throws(CommitError) -> FrontendInspection

    /// Returns what the kernel does to packets: its rules and routes, everybody's, are read once and
    /// evaluated for each of them.
    func evaluate(_ packets: [FirstPacket]) async throws(CommitError) -> [Evaluation]

    /// Sends a packet or waits for one, and returns its way through the rules of all programs, compared
    /// with what an evaluation says.
    ///
    /// The packet is traced by a table of its own, which exists for no longer than this takes.
    func verify(_ packet: FirstPacket, _ origin: PacketOrigin) async -> Verification

    /// Returns the number of elements in each of needletail's sets.
    func elementCounts() async -> [ElementCount]

    /// Returns how many connections the kernel has counted for each Service (`namespace/name`);
    /// empty if it does not count.
    func connectionCounts() async -> [String: UInt64]

    /// Returns the chains of other programs that decide what is forwarded.
    ///
    /// From then on `watch` reports changes of them.
    func forwardChains() async throws(CommitError) -> [ForwardChain]

    /// Removes everything that needletail made, in whichever mode, and returns what there was.
    ///
    /// - Parameters:
    /// - kubeProxy: whether to remove what kube-proxy has left as well
    /// - dryRun: whether to remove nothing and only return what there is
    func clean(kubeProxy: Bool, dryRun: Bool) async throws(CommitError) -> [Difference]
}

/// Something that other programs did to the kernel.
package enum BackendEvent: Sendable, Hashable {
    /// They changed an object of needletail's.
    case foreignChange(ForeignObject)
    /// They may have changed which packets are forwarded.
    case forwarding
}

/// The kind of object that another program changed.
package enum ForeignObject: String, Sendable, Hashable, CaseIterable {
    case table, servers, addresses
}

/// What must follow a call of `maintain`.
package enum Maintenance: Sendable, Hashable {
    /// Nothing: no more work will become due by time alone.
    case finished
    case again(after: Duration)
    /// Everything must be compared with the kernel; after that, maintenance goes on.
    case resync
}

/// The number of elements in one set.
package struct ElementCount: Sendable, Hashable {
    package let set: String
    package let family: IPFamily
    package let count: Int

    package init(set: String, family: IPFamily, count: Int) {
        (self.set, self.family, self.count) = (set, family, count)
    }
}
