package import Backend
package import Dispatch
package import NetworkTypes
internal import NFTables
package import ServicePlan

/// The backend of mode nftables, in which the tables choose endpoints.
package actor NFTablesBackend: Backend {
    private let kernelQueue = KernelQueue()
    package nonisolated let families: [IPFamily]
    private let programmer: TableProgrammer
    private let news = NewsFeed()

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        kernelQueue.asUnownedSerialExecutor()
    }

    package init(_ programmer: sending TableProgrammer) {
        families = programmer.families
        self.programmer = programmer
    }

    package func adopt(
        _ plans: [ServicePlan],
        node: NodeFacts
    ) throws(CommitError) -> CommitReport {
        defer { news.tell(programmer.found()) }
        return try programmer.adopt(plans, TableInputs(node))
    }

    package func commit(
        _ changes: [PlanChange],
        node: NodeFacts
    ) throws(CommitError) -> CommitReport {
        defer { news.tell(programmer.found()) }
        return try programmer.commit(changes, TableInputs(node))
    }

    package func maintain() -> Maintenance { .finished }

    package func watch(_ tell: @escaping @Sendable (BackendEvent) async -> Void) async {
        await news.follow(programmer.descriptor, on: kernelQueue.queue, tell) {
            self.assumeIsolated { $0.programmer.events() }
        }
    }

    package func difference(
        _ plans: [ServicePlan],
        node: NodeFacts
    ) throws(CommitError) -> [Difference] {
        try programmer.difference(plans, TableInputs(node)).flatMap(\.differences)
    }

    package func inspect(
        _ frontend: FrontendKey,
        client: IPAddress?
    ) throws(CommitError) -> FrontendInspection {
        guard let client else { return FrontendInspection() }
        return FrontendInspection(
            rememberedEndpoint: try programmer.rememberedEndpoint(of: client, at: frontend)
        )
    }

    package func evaluate(_ packets: [FirstPacket]) throws(CommitError) -> [Evaluation] {
        try programmer.evaluate(packets)
    }

    package func elementCounts() -> [ElementCount] { programmer.elementCounts() }

    package func connectionCounts() -> [String: UInt64] { programmer.connectionCounts() }

    package func forwardChains() throws(CommitError) -> [ForwardChain] {
        try programmer.forwardChains()
    }

    /// Removes needletail's tables; `kubeProxy` has no effect, since `KubeProxyLeftovers` removes
    /// what kube-proxy has left.
    package func clean(kubeProxy: Bool, dryRun: Bool) throws(CommitError) -> [Difference] {
        try programmer.removeTables(dryRun: dryRun)
    }
}

/// Passes events from the queue of a backend to the task that watches it.
package final class NewsFeed: Sendable {
    private let events: AsyncStream<BackendEvent>
    private let bell: AsyncStream<BackendEvent>.Continuation

    /// The number of events that may wait; a backend has so few kinds that none is lost.
    private static let limit = 16

    package init() {
        (events, bell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(Self.limit))
    }

    package func tell(_ found: [BackendEvent]) {
        for event in found { bell.yield(event) }
    }

    /// Calls `tell` with each event until the task is cancelled.
    ///
    /// - Parameters:
    /// - descriptor: a descriptor that is readable when there may be events
    /// - queue: the queue on which `read` is called
    /// - read: returns new events; called whenever the descriptor is readable
    package func follow(
        _ descriptor: Int32,
        on queue: DispatchQueue,
        _ tell: @escaping @Sendable (BackendEvent) async -> Void,
        read: @escaping @Sendable () -> [BackendEvent]
    ) async {
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler { self.tell(read()) }
        source.activate()
        for await event in events { await tell(event) }
        source.cancel()
    }
}
