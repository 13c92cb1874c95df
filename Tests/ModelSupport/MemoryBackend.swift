import Backend
import ModelKernel
import NFTables
import NetworkTypes
import ServicePlan

/// Mode nftables over a kernel in memory.
package actor MemoryBackend: Backend {
    package nonisolated let families = IPFamily.allCases
    package nonisolated let kernel = ModelTables()
    private lazy var tables = NodeTables(families, kernel)

    package init() {}

    package func adopt(
        _ plans: [ServicePlan],
        node: NodeFacts
    ) throws(CommitError) -> CommitReport {
        do throws(TableFault) {
            return try tables.adopt(plans, TableInputs(node)).report
        } catch { throw Self.translated(error) }
    }

    package func commit(
        _ changes: [PlanChange],
        node: NodeFacts
    ) throws(CommitError) -> CommitReport {
        do throws(TableFault) {
            return try tables.commit(changes, TableInputs(node))
        } catch { throw Self.translated(error) }
    }

    private static func translated(_ fault: TableFault) -> CommitError {
        if case .tampered = fault { return CommitError("\(fault)", recovery: .rereadKernel) }
        return CommitError("\(fault)", recovery: .retry)
    }

    package func difference(
        _ plans: [ServicePlan],
        node: NodeFacts
    ) throws(CommitError) -> [Difference] {
        do throws(TableFault) {
            return try tables.difference(plans, TableInputs(node)).flatMap(\.differences)
        } catch { throw Self.translated(error) }
    }

    package func maintain() -> Maintenance { .finished }

    package func watch(_ tell: @escaping @Sendable (BackendEvent) async -> Void) async {}

    package func inspect(_ frontend: FrontendKey, client: IPAddress?) -> FrontendInspection {
        FrontendInspection()
    }

    package func evaluate(_ packets: [FirstPacket]) -> [Evaluation] {
        packets.map { _ in Evaluation([]) }
    }

    package func elementCounts() -> [ElementCount] { [] }

    package func connectionCounts() -> [String: UInt64] { [:] }

    package func forwardChains() -> [ForwardChain] { [] }

    package func clean(kubeProxy: Bool, dryRun: Bool) -> [Difference] { [] }
}
