internal import Dispatch
package import Logging
package import NFTables
package import NetworkTypes
internal import Netlink
package import ServicePlan

/// Programs the tables `ip needletail` and `ip6 needletail` of this network namespace.
///
/// The kernel is the record: the first commit reads it back and sends only the difference.
package actor NFTablesDataplane: Dataplane {
    private let kernelQueue = KernelQueue()
    package nonisolated let families: [IPFamily]
    private let logger: Logger
    private var socket: NetlinkSocket
    private var generations: GenerationWatch
    private var conntrack: ConnectionTracking
    /// Empty until the kernel was read, and after a failure.
    private var tables: [IPFamily: TableState] = [:]
    private var notificationSource: (any DispatchSourceRead)?

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        kernelQueue.asUnownedSerialExecutor()
    }

    /// - Throws: if this kernel, or this process's privileges, do not suffice
    package init(families: [IPFamily], logger: Logger) throws(CommitError) {
        self.families = families
        self.logger = logger
        do throws(NetlinkError) {
            socket = try NetlinkSocket(.netfilter)
            _ = try GenerationWatch.read(&socket)
            generations = try GenerationWatch(ignoring: socket.portID)
            conntrack = try ConnectionTracking()
        } catch {
            throw CommitError(opening: error)
        }
    }

    /// Yields whenever somebody else has changed our tables; each time a commit of everything
    /// repairs them.
    package func foreignChanges() -> AsyncStream<Void> {
        let (changes, continuation) = AsyncStream<Void>.makeStream(
            bufferingPolicy: .bufferingNewest(1)
        )
        let source = DispatchSource.makeReadSource(
            fileDescriptor: generations.descriptor,
            queue: kernelQueue.queue
        )
        source.setEventHandler {
            let isTampered = self.assumeIsolated { dataplane in
                dataplane.generations.drain()
                return dataplane.generations.isTampered
            }
            if isTampered { continuation.yield() }
        }
        source.activate()
        notificationSource = source
        return changes
    }

    package func commit(
        _ changes: PlanChanges,
        node: NodeFacts
    ) async throws(CommitError) -> CommitReport {
        do throws(NetlinkError) {
            switch changes {
            case .everything(let plans):
                var report = try commitEverything(plans, node)
                removeStale(StaleEntries(everything: plans, node: node), node, &report)
                return report
            case .some(let plans):
                guard tables.count == families.count, !generations.isTampered else {
                    throw Self.tampered
                }
                let old = plans.map {
                    (old: tables[families[0]]?.plan(of: $0.service), new: $0.plan)
                }
                var report = try commit(plans, node)
                removeStale(StaleEntries(old), node, &report)
                return report
            }
        } catch {
            tables = [:]
            throw CommitError(error)
        }
    }

    /// What a commit of everything would change; touches nothing.
    package func difference(
        _ plans: [ServicePlan],
        node: NodeFacts
    ) throws(CommitError) -> [(program: Program, changes: Changeset)] {
        do throws(NetlinkError) {
            var result: [(Program, Changeset)] = []
            for family in families {
                let (state, changes) = try adopt(family, plans, node)
                result.append((state.program, changes))
            }
            return result
        } catch {
            throw CommitError(error)
        }
    }

    /// The endpoint that the kernel remembers for a client of a frontend with affinity.
    package func rememberedEndpoint(
        of client: IPAddress,
        at frontend: FrontendKey,
        node: NodeFacts
    ) throws(CommitError) -> (address: IPAddress, port: UInt16)? {
        do throws(NetlinkError) {
            let map = AffinityMap(reader: reader(frontend.address.family, node))
            return try map.endpoint(of: client, at: frontend, &socket)
        } catch {
            throw CommitError(error)
        }
    }

    /// Removes our tables; returns which there were.
    package func removeEverything(dryRun: Bool) throws(CommitError) -> [String] {
        do throws(NetlinkError) {
            var found: [String] = []
            var batch = NetlinkBatch(
                subsystem: Constant.subsystem,
                generation: nil,
                firstSequence: socket.nextSequence()
            )
            for family in families where try TableReader.isThere(family, &socket) {
                let table = "table \(family.nftName) \(RulesetPrinter.tableName)"
                found.append(table)
                TransactionEncoder(program: Program(family), changes: Changeset())
                    .removeTable(&batch)
            }
            socket.advance(to: batch.sequenceAfter)
            if !dryRun { try batch.commit(&socket, subsystem: Constant.subsystem) }
            return found
        } catch {
            throw CommitError(error)
        }
    }

    package func connectionCounts() -> [String: UInt64] {
        var counts: [String: UInt64] = [:]
        for family in families where tables[family] != nil {
            let reader = TableReader(family: family)
            for (label, count) in (try? reader.connectionCounts(&socket)) ?? [] {
                // namespace/name:port
                counts[String(label.prefix { $0 != ":" }), default: 0] += count
            }
        }
        return counts
    }

    /// Removes what kube-proxy has left in nf_tables, by name; returns what there was.
    package func removeKubeProxy(dryRun: Bool) throws(CommitError) -> [String] {
        do throws(NetlinkError) {
            let rules = try KubeProxyRules(&socket)
            if !dryRun, !rules.isEmpty {
                try rules.remove(&socket)
                generations.committed()
            }
            return rules.descriptions
        } catch {
            throw CommitError(error)
        }
    }

    /// Whether the kernel has a table of ours already.
    package func isProgrammed() throws(CommitError) -> Bool {
        do throws(NetlinkError) {
            for family in families where try TableReader.isThere(family, &socket) { return true }
            return false
        } catch {
            throw CommitError(error)
        }
    }

    /// The elements of each set, as committed.
    package func elementCounts() -> [(set: String, family: IPFamily, count: Int)] {
        tables.flatMap { family, state in
            state.elementCounts.map { ($0.key.name, family, $0.value) }
        }
    }

    private static let tampered = NetlinkError("another program changed our tables", code: 0)

    private func reader(_ family: IPFamily, _ node: NodeFacts) -> TableReader {
        TableReader(family: family, variant: Program.Variant(node, family))
    }

    /// Reads a table, and says what it lacks.
    private func adopt(
        _ family: IPFamily,
        _ plans: [ServicePlan],
        _ node: NodeFacts
    ) throws(NetlinkError) -> (state: TableState, changes: Changeset) {
        let contents = try reader(family, node).read(&socket)
        return TableState.adopting(contents, plans: plans, node: node, family: family)
    }

    // MARK: Committing

    private func commitEverything(
        _ plans: [ServicePlan],
        _ node: NodeFacts
    ) throws(NetlinkError) -> CommitReport {
        // Somebody may write between our reading and our writing; the kernel refuses then.
        for _ in 0..<5 {
            generations.restart(at: try GenerationWatch.read(&socket))
            var changes: [TransactionEncoder] = []
            for family in families {
                let (state, changeset) = try adopt(family, plans, node)
                tables[family] = state
                changes.append(TransactionEncoder(program: state.program, changes: changeset))
            }
            if let report = try send(changes) { return report }
        }
        throw NetlinkError("another program keeps changing the tables", code: 0)
    }

    private func commit(
        _ plans: [(service: String, plan: ServicePlan?)],
        _ node: NodeFacts
    ) throws(NetlinkError) -> CommitReport {
        var changes: [TransactionEncoder] = []
        for family in families {
            guard let changeset = tables[family]?.apply(plans, node: node),
                let program = tables[family]?.program
            else { continue }
            changes.append(TransactionEncoder(program: program, changes: changeset))
        }
        guard let report = try send(changes) else { throw Self.tampered }
        return report
    }

    /// Sends the changes as one transaction, or as several if this kernel has no room for it.
    ///
    /// Nil if our tables are no longer what the changes were computed from.
    private func send(_ changes: [TransactionEncoder]) throws(NetlinkError) -> CommitReport? {
        do throws(NetlinkError) {
            return try sendAtOnce(changes)
        } catch  where error.isTooLarge {
            logger.notice("the socket's buffer cannot be made larger; sending in parts")
            var report = CommitReport()
            for encoder in changes {
                for part in encoder.changes.parts(ofAtMost: Self.partSize) {
                    let sent = try sendAtOnce([
                        TransactionEncoder(program: encoder.program, changes: part)
                    ])
                    guard let sent else { return nil }
                    report.add(sent)
                }
            }
            return report
        }
    }

    /// Elements that fit the socket's buffer on any kernel: 200 kB.
    private static let partSize = 1000

    private func sendAtOnce(_ changes: [TransactionEncoder]) throws(NetlinkError) -> CommitReport? {
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
                guard !generations.isTampered else { return nil }
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

    // MARK: Afterwards

    /// Removes what the commit made stale.
    ///
    /// Failures are reported and do not undo the commit.
    private func removeStale(
        _ stale: StaleEntries,
        _ node: NodeFacts,
        _ report: inout CommitReport
    ) {
        do throws(NetlinkError) {
            for family in families {
                report.staleEntriesRemoved += try AffinityMap(reader: reader(family, node))
                    .removeStale(stale, &socket) {
                        generations.committed()
                    }
            }
            if stale.serviceCIDRs != nil || !stale.tracked.isEmpty {
                report.connectionCleanups = try conntrack.removeStale(
                    stale,
                    drainsSCTP: node.balancer == .ipvs
                )
                for cleanup in report.connectionCleanups.values {
                    report.staleEntriesRemoved += cleanup.deleted
                }
            }
        } catch {
            logger.warning(
                "removing stale entries failed; some clients may stay where they are",
                metadata: ["error": "\(error)"]
            )
        }
    }
}

extension Changeset {
    /// Sets and rules that change; a new table is one object here.
    fileprivate var objectCount: Int {
        (createsTable ? 1 : 0) + addedSets.count + removedSets.count + chains.count
    }
}

extension CommitError {
    init(_ error: NetlinkError) {
        if error.isPermissionDenied {
            self.init("nftables: \(error)", recovery: .operatorAction(Self.privilege))
        } else {
            self.init("nftables: \(error)", recovery: error.code == 0 ? .rereadKernel : .retry)
        }
    }

    /// Before anything is programmed: what is missing now will not come by itself.
    init(opening error: NetlinkError) {
        let advice =
            error.isPermissionDenied
            ? Self.privilege
            : "this kernel seems to have no nf_tables: load its module (modprobe nf_tables), or boot"
                + " a kernel with CONFIG_NF_TABLES"
        self.init("nftables: \(error)", recovery: .operatorAction(advice))
    }

    private static let privilege = "run with the capability NET_ADMIN (root has it)"
}
