internal import CNeedleShim
internal import Logging
internal import NFTables
internal import NetworkTypes
internal import Netlink
internal import ServicePlan

extension NFTablesDataplane {
    /// Sends the changes as one transaction, or as several if they are very many or this kernel has no
    /// room for them.
    ///
    /// A table is made anew in one, since it may replace another.
    /// Nil, if it is strict, when our tables are no longer what the changes were computed from.
    func send(
        _ changes: [TransactionEncoder],
        isStrict: Bool
    ) throws(NetlinkError) -> CommitReport? {
        let count = changes.reduce(0) { $0 + $1.changes.addedCount + $1.changes.removedCount }
        guard count <= Self.largeCount || changes.contains(where: \.changes.createsTable) else {
            return try sendInParts(changes, ofAtMost: Self.partSize, isStrict)
        }
        do throws(NetlinkError) {
            return try sendAtOnce(changes, isStrict)
        } catch  where error.isTooLarge {
            logger.notice("the socket's buffer cannot be made larger; sending in parts")
            return try sendInParts(changes, ofAtMost: Self.smallPartSize, isStrict)
        }
    }

    private func sendInParts(
        _ changes: [TransactionEncoder],
        ofAtMost count: Int,
        _ isStrict: Bool
    ) throws(NetlinkError) -> CommitReport? {
        var report = CommitReport()
        for encoder in changes {
            for part in encoder.changes.parts(ofAtMost: count, encoder.program) {
                let encoder = TransactionEncoder(program: encoder.program, changes: part)
                guard let sent = try sendAtOnce([encoder], isStrict) else { return nil }
                report.add(sent)
            }
        }
        // What a large change took on the way is the system's again.
        needle_release_free_memory()
        return report
    }

    /// The kernel's lock is held for some 3 µs for each element, and nobody else's change comes in
    /// meanwhile, of whatever table.
    private static let largeCount = 10_000
    private static let partSize = 5000
    /// Elements that fit the socket's buffer on any kernel: 200 kB.
    private static let smallPartSize = 1000

    private func sendAtOnce(
        _ changes: [TransactionEncoder],
        _ isStrict: Bool
    ) throws(NetlinkError) -> CommitReport? {
        var report = CommitReport()
        for encoder in changes {
            report.elementsAdded += encoder.changes.addedCount
            report.elementsRemoved += encoder.changes.removedCount
            report.objectsChanged += encoder.changes.objectCount
        }
        guard !report.isEmpty else { return report }
        for _ in 0..<20 {
            var batch = NetlinkBatch(
                subsystem: Constant.subsystem,
                generation: generations.known,
                firstSequence: socket.nextSequence()
            )
            for encoder in changes { encoder.encode(into: &batch) }
            report.bytes = batch.byteCount
            socket.advance(to: batch.sequenceAfter)
            do {
                try commit(&batch)
                return report
            } catch  where error.isStaleGeneration {
                generations.catchUp(with: try GenerationWatch.read(&socket))
                guard !isStrict || !generations.isTampered else { return nil }
            }
        }
        throw NetlinkError("other programs change the ruleset faster than it can be read", code: 0)
    }

    private func commit(_ batch: inout NetlinkBatch) throws(NetlinkError) {
        if batch.byteCount > Self.largeBatch {
            try generations.withoutListening(&socket) { socket throws(NetlinkError) in
                try batch.commit(&socket, subsystem: Constant.subsystem)
            }
        } else {
            try batch.commit(&socket, subsystem: Constant.subsystem)
            generations.committed()
        }
    }

    /// Bytes from which on notifications cost more than two changes of membership.
    private static let largeBatch = 64 << 10
}

extension Changeset {
    /// Sets and rules that change; a new table is one object here.
    fileprivate var objectCount: Int {
        (createsTable ? 1 : 0) + addedSets.count + removedSets.count + chains.count
    }
}
