import Backend
import Logging
import PlanCompiler
import Reconciler
import Synchronization
import TestSupport

/// Remembers what a reconciler tells.
final class RecordingObserver: SyncObserver {
    private struct State {
        var records: [SyncRecord] = []
        var failures: [Duration] = []
        var repairs: [Duration] = []
        var damage: [ForeignObject] = []
        var watchers: [(count: Int, CheckedContinuation<Void, Never>)] = []
    }

    private let state = Mutex(State())

    var records: [SyncRecord] { state.withLock(\.records) }
    var failures: [Duration] { state.withLock(\.failures) }
    var repairs: [Duration] { state.withLock(\.repairs) }
    var damage: [ForeignObject] { state.withLock(\.damage) }

    /// Returns when the number of reported syncs has reached this count.
    func wait(forSyncs count: Int) async {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.records.count < count { state.watchers.append((count, continuation)) }
                return state.records.count >= count
            }
            if isThere { continuation.resume() }
        }
    }

    func changesQueued() {}
    func synced(_ record: SyncRecord) {
        let waiting = state.withLock { state in
            state.records.append(record)
            defer { state.watchers.removeAll { $0.count <= state.records.count } }
            return state.watchers.filter { $0.count <= state.records.count }.map(\.1)
        }
        for continuation in waiting { continuation.resume() }
    }
    func failed(_ failure: SyncFailure) {
        state.withLock { $0.failures.append(failure.retryAfter) }
    }
    func foreignChange(_ object: ForeignObject, repairAfter delay: Duration) {
        state.withLock { state in
            state.repairs.append(delay)
            state.damage.append(object)
        }
    }
}

extension Reconciler {
    /// Makes the reconciler of a node whose interfaces have no addresses.
    init(
        awaiting lists: Set<ObjectList>,
        _ backend: any Backend,
        _ observer: RecordingObserver,
        _ clock: TestClock
    ) {
        self.init(
            Cluster(NodeConfiguration(nodeName: "here")),
            awaiting: lists,
            backend: backend,
            interfaceAddresses: [],
            observer: observer,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            clock: clock
        )
    }
}
