package import Backend
package import Reconciler
internal import ServicePlan
internal import Synchronization

/// What happened on this node: changes with their causes, refusals, foreign changes and repairs.
///
/// It takes 4 MiB at most, and the oldest entries go first. The reconciler's task writes; any thread
/// reads, and works on a copy, so that neither waits for the other.
package final class Journal: SyncObserver {
    private struct State {
        var ring = JournalRing()
        var writer = JournalWriter()
        var lastRefusal: String?
    }

    private let epoch: ContinuousClock.Instant
    private let state = Mutex(State())

    /// - Parameter epoch: the earliest time that an entry can have
    package init(epoch: ContinuousClock.Instant = .now) { self.epoch = epoch }

    // MARK: Writing

    package func changesQueued() {}

    package func synced(_ record: SyncRecord) {
        state.withLock { state in
            state.lastRefusal = nil
            let work = JournalEntry.Work(record.report)
            if record.isFirst {
                return write(.began, at: record.ended, &state) {
                    $0.write(record.services)
                    $0.write(work)
                }
            }
            if let refusal = record.refusal {
                write(.refused, at: record.ended, &state) {
                    $0.write(refusal.prefixed)
                    $0.write(record.changes.prefix(8).map(\.change.service))
                    $0.write(record.changes.count)
                    $0.write(false)
                }
            }
            if !record.nodeChanges.isEmpty {
                write(.node, at: record.ended, &state) {
                    $0.write(record.nodeChanges.map(\.prefixed))
                }
            }
            if record.isRepair {
                write(.repaired, at: record.ended, &state) { $0.write(work) }
            } else if record.isFull, record.changes.isEmpty, !work.isEmpty {
                write(.corrected, at: record.ended, &state) { $0.write(work) }
            }
            for change in record.changes { write(change, at: record.ended, &state) }
        }
    }

    package func failed(_ failure: SyncFailure) {
        let reason = "\(failure.error)".prefixed
        state.withLock { state in
            // A kernel that goes on refusing for the same reason would fill the journal.
            guard state.lastRefusal != reason else { return }
            state.lastRefusal = reason
            write(.refused, at: .now, &state) {
                $0.write(reason)
                $0.write(failure.waiting)
                $0.write(failure.waitingCount)
                $0.write(true)
                $0.write(failure.retryAfter)
            }
        }
    }

    package func foreignChange(_ object: ForeignObject, repairAfter delay: Duration) {
        state.withLock { state in
            write(.foreignChange, at: .now, &state) {
                $0.write(object.rawValue)
                $0.write(delay)
            }
        }
    }

    private func write(
        _ tag: EntryTag,
        at moment: ContinuousClock.Instant,
        _ state: inout State,
        _ body: (inout JournalWriter) -> Void
    ) {
        let time = begin(tag, at: moment, &state)
        body(&state.writer)
        state.ring.append(state.writer.bytes, at: time)
    }

    private func begin(
        _ tag: EntryTag,
        at moment: ContinuousClock.Instant,
        _ state: inout State
    ) -> Int64 {
        let time = (moment - epoch).nanoseconds
        state.writer.clear()
        state.writer.write(time)
        state.writer.write(byte: tag.rawValue)
        return Int64(truncatingIfNeeded: time)
    }

    private func write(
        _ change: CommittedChange,
        at moment: ContinuousClock.Instant,
        _ state: inout State
    ) {
        let time = begin(.change, at: moment, &state)
        state.writer.write(change, at: moment)
        let head = state.writer.count
        state.writer.write(true)
        // A change that was undone before the kernel got it is none.
        guard state.writer.writeDelta(from: change.change.old, to: change.change.new) else {
            return
        }
        if state.writer.count > JournalRing.entryLimit {
            state.writer.cut(to: head)
            state.writer.write(false)
        }
        state.ring.append(state.writer.bytes, at: time)
    }

    // MARK: Reading

    /// What the journal has now.
    package var view: JournalView {
        let ring = state.withLock(\.ring)
        return JournalView(ring: ring, epoch: epoch)
    }

    /// The number of entries, their bytes, and the time from which on everything is known.
    package var figures: (count: Int, bytes: Int, since: ContinuousClock.Instant?) {
        let (count, size, since) = state.withLock { ($0.ring.count, $0.ring.size, $0.ring.since) }
        return (count, size, since.map { epoch + .nanoseconds($0) })
    }
}

extension String {
    /// The text without what exceeds a kilobyte.
    fileprivate var prefixed: String { utf8.count <= 1024 ? self : String(prefix(256)) + "…" }
}

extension JournalEntry.Work {
    fileprivate init(_ report: CommitReport) {
        self.init(
            added: report.elementsAdded,
            removed: report.elementsRemoved,
            objects: report.objectsChanged,
            servers: report.serversChanged
        )
    }
}
