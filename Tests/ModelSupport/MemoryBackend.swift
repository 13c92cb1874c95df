import Backend
import ModelKernel
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport

/// Mode nftables over a kernel in memory.
package actor MemoryBackend: TestBackend {
    package nonisolated let families = IPFamily.allCases
    package nonisolated let kernel = ModelTables()
    private lazy var tables = NodeTables(families, kernel)

    package init() {}

    package func adopt(
        _ supply: PlanSupply,
        node: NodeFacts
    ) throws(CommitError) -> CommitReport {
        do throws(TableFault) {
            return try tables.adopt(supply, TableInputs(node)).report
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

    package func difference(
        for services: [ServicePlan],
        node: NodeFacts
    ) throws(CommitError) -> [Difference] {
        do throws(TableFault) {
            return try tables.difference(for: services, TableInputs(node)).flatMap(\.differences)
        } catch { throw Self.translated(error) }
    }
}
