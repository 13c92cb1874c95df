import ModelKernel
import NFTables
import NetworkTypes
import Synchronization

/// The tables of a kernel in memory, to which others may write at any time.
package final class ModelTables: TableKernel, Sendable {
    private let kernel = Mutex(MemoryKernel())
    private let reads = Mutex(0)
    /// Runs once, between the next reading of a table and what follows.
    private let interference = Mutex<(@Sendable (inout MemoryKernel) -> Void)?>(nil)

    package init() {}

    /// How often a table was read.
    package var readCount: Int { reads.withLock(\.self) }

    package func withKernel<Value>(_ body: (inout MemoryKernel) throws -> sending Value) rethrows
        -> sending Value
    {
        try kernel.withLock(body)
    }

    /// Lets others write when a table is read the next time, before anything is committed.
    package func interfere(_ body: @escaping @Sendable (inout MemoryKernel) -> Void) {
        interference.withLock { $0 = body }
    }

    package func generation() throws(TableFault) -> UInt32 { kernel.withLock(\.generation) }

    package func contents(
        _ family: IPFamily,
        _ variant: Program.Variant
    ) throws(TableFault) -> TableContents {
        reads.withLock { $0 += 1 }
        let body = interference.withLock { body in
            defer { body = nil }
            return body
        }
        return kernel.withLock { kernel in
            defer { body?(&kernel) }
            return kernel.contents(of: family, variant)
        }
    }

    package func outline(
        _ family: IPFamily,
        _ variant: Program.Variant
    ) throws(TableFault) -> TableContents {
        kernel.withLock { kernel in
            var contents = kernel.contents(of: family, variant)
            contents.elements = [:]
            return contents
        }
    }

    package func find(
        _ keys: Set<ElementBytes>,
        in set: SetDefinition,
        _ family: IPFamily
    ) throws(TableFault) -> ElementTable {
        kernel.withLock { kernel in
            let elements = kernel.elements(of: set, family)
            return ElementTable(keys.compactMap { elements[$0] })
        }
    }

    package func commit(
        _ changes: [TableTransaction],
        at generation: UInt32
    ) throws(TableFault) -> CommitReceipt {
        let result = kernel.withLock { kernel -> Result<UInt32, Refusal> in
            do throws(Refusal) {
                try kernel.commit(changes, expecting: generation)
                return .success(kernel.generation)
            } catch { return .failure(error) }
        }
        do throws(Refusal) {
            return CommitReceipt(bytes: 0, generation: try result.get())
        } catch {
            switch error.code {
            case .stale: throw .staleGeneration
            case .noBufferSpace: throw .tooLarge
            default: throw .refused(.init("\(error)", isPrivilege: error.code == .notPermitted))
            }
        }
    }

    package func news() -> RulesetNews {
        var news = RulesetNews()
        for notification in kernel.withLock({ $0.takeNotifications() }) {
            switch notification {
            case .lost: (news.touchesTables, news.touchesForwarding) = (true, true)
            case .change(_, _, isOurs: true): break
            case .change(let generation, let isInOurTables, isOurs: false):
                news.generations.append(generation)
                news.touchesTables = news.touchesTables || isInOurTables
            }
        }
        return news
    }

    /// Nothing arrives later here.
    package func wait(milliseconds: Int32) {}
}
