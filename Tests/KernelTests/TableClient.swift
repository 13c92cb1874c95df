import Backend
import NFTables
import NFTablesKernel
import Netlink
import NetworkTypes
import ServicePlan

/// Programs the tables of a network namespace, and remembers what it was told, as the reconciler does.
actor TableClient {
    enum Wanted: Sendable {
        /// These plans and no others.
        case everything([ServicePlan])
        /// The named Services changed; nil: the Service is gone.
        case some([(service: String, plan: ServicePlan?)])
    }

    private let queue = KernelQueue()
    private let programmer: TableProgrammer
    private var plans: [String: ServicePlan] = [:]

    nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }

    init(_ programmer: sending TableProgrammer) { self.programmer = programmer }

    @discardableResult
    func commit(_ wanted: Wanted, node: TableInputs) throws(CommitError) -> CommitReport {
        switch wanted {
        case .everything(let new):
            plans = Dictionary(new.map { ($0.service, $0) }, uniquingKeysWith: { $1 })
            return try programmer.adopt(new, node)
        case .some(let changed):
            let changes = changed.map { PlanChange($0, old: plans[$0], new: $1) }
            for change in changes { plans[change.service] = change.new }
            return try programmer.commit(changes, node)
        }
    }

    /// Yields what others do to the kernel.
    func events() -> AsyncStream<BackendEvent> {
        let (stream, continuation) = AsyncStream<BackendEvent>.makeStream()
        let (news, queue, descriptor) = (programmer.news, queue.queue, programmer.descriptor)
        Task {
            await news.follow(descriptor, on: queue, { continuation.yield($0) }) {
                self.assumeIsolated { $0.programmer.events() }
            }
        }
        return stream
    }

    func difference(
        _ plans: [ServicePlan],
        node: TableInputs
    ) throws(CommitError) -> [Difference] {
        try programmer.difference(plans, node).flatMap(\.differences)
    }

    func difference(
        for services: [ServicePlan],
        node: TableInputs
    ) throws(CommitError) -> [Difference] {
        try programmer.difference(for: services, node).flatMap(\.differences)
    }

    func evaluate(_ packets: [FirstPacket]) throws(CommitError) -> [Evaluation] {
        try programmer.evaluate(packets)
    }

    func record(with recorder: RequestRecorder) { programmer.record(with: recorder) }

    func forwardChains() throws(CommitError) -> [ForwardChain] { try programmer.forwardChains() }

    func elementCounts() -> [ElementCount] { programmer.elementCounts() }

    func rememberedEndpoint(
        of client: IPAddress,
        at frontend: FrontendKey
    ) throws(CommitError) -> AddressAndPort? {
        try programmer.rememberedEndpoint(of: client, at: frontend)
    }
}
