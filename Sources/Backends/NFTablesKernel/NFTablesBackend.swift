package import Backend
package import NetworkTypes
internal import NFTables
package import ServicePlan

/// The backend of mode nftables, in which the tables choose endpoints.
package actor NFTablesBackend: Backend {
    private let kernelQueue = KernelQueue()
    package nonisolated let families: [IPFamily]
    private let programmer: TableProgrammer

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        kernelQueue.asUnownedSerialExecutor()
    }

    package init(_ programmer: sending TableProgrammer) {
        families = programmer.families
        self.programmer = programmer
    }

    package func adopt(
        _ supply: PlanSupply,
        node: NodeFacts
    ) throws(CommitError) -> CommitReport {
        try programmer.adopt(supply, TableInputs(node))
    }

    package func commit(
        _ changes: [PlanChange],
        node: NodeFacts
    ) throws(CommitError) -> CommitReport {
        try programmer.commit(changes, TableInputs(node))
    }

    package func maintain() -> Maintenance { .finished }

    package func watch(_ tell: @escaping @Sendable (BackendEvent) async -> Void) async {
        await programmer.news.follow(programmer.descriptor, on: kernelQueue.queue, tell) {
            self.assumeIsolated { $0.programmer.events() }
        }
    }

    package func difference(
        _ plans: [ServicePlan],
        node: NodeFacts
    ) throws(CommitError) -> [Difference] {
        try programmer.difference(plans, TableInputs(node)).flatMap(\.differences)
    }

    package func difference(
        for services: [ServicePlan],
        node: NodeFacts
    ) throws(CommitError) -> [Difference] {
        try programmer.difference(for: services, TableInputs(node)).flatMap(\.differences)
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

    package func verify(_ packet: FirstPacket, _ origin: PacketOrigin) -> Verification {
        PacketVerification(packet, origin).perform()
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
