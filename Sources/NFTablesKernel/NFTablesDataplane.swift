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
    let logger: Logger
    var socket: NetlinkSocket
    var generations: GenerationWatch
    private var conntrack: ConnectionTracking
    private var outsiders: OutsiderLookup
    /// Empty until the kernel was read, and after a failure.
    private(set) var tables: [IPFamily: TableState] = [:]
    private let remembersClients: Bool
    var affinityFill = AffinityFill()
    private var notificationSource: (any DispatchSourceRead)?
    private var foreignBell: AsyncStream<Void>.Continuation?
    private nonisolated let forwardingBell: AsyncStream<Void>.Continuation
    /// Yields when another program may have changed what is forwarded; changes meanwhile are one.
    package nonisolated let forwardingChanges: AsyncStream<Void>

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        kernelQueue.asUnownedSerialExecutor()
    }

    /// - Throws: if this kernel, or this process's privileges, do not suffice
    package init(families: [IPFamily], logger: Logger) throws(CommitError) {
        self.families = families
        self.logger = logger
        (forwardingChanges, forwardingBell) = AsyncStream.makeStream(
            bufferingPolicy: .bufferingNewest(1)
        )
        do throws(NetlinkError) {
            socket = try NetlinkSocket(.netfilter)
            _ = try GenerationWatch.read(&socket)
            generations = try GenerationWatch(ignoring: socket.portID)
            conntrack = try ConnectionTracking()
            outsiders = try OutsiderLookup()
            remembersClients = HashProbe.succeeds(&socket)
        } catch {
            throw CommitError(opening: error)
        }
        if !remembersClients {
            logger.warning(
                """
                this kernel cannot hash in nftables rules, so sessionAffinity ClientIP has no effect; all \
                else works: load the module nft_hash (CONFIG_NFT_HASH), and restart
                """
            )
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
                dataplane.tellForwarding()
                return dataplane.generations.isTampered
            }
            if isTampered { continuation.yield() }
        }
        source.activate()
        notificationSource = source
        foreignBell = continuation
        return changes
    }

    private func tellForwarding() {
        if generations.takeForwardingTouch() { forwardingBell.yield() }
    }

    /// What a commit has found out, nobody need notify of any more.
    private func tellWhatWasFound() {
        tellForwarding()
        if generations.isTampered { foreignBell?.yield() }
    }

    /// What others have at the forward hook; it is followed from now on.
    package func forwardChains() throws(CommitError) -> [ForwardChain] {
        do throws(NetlinkError) {
            let chains = try ForwardChain.read(&socket)
            generations.forwardChains = Set(chains.map(\.place))
            return chains
        } catch {
            throw CommitError(error)
        }
    }

    package func commit(
        _ changes: PlanChanges,
        node: NodeFacts
    ) async throws(CommitError) -> CommitReport {
        defer { tellWhatWasFound() }
        let node = known(node)
        do throws(NetlinkError) {
            switch changes {
            case .everything(let plans):
                var former = FormerFrontends()
                var report = try commitEverything(plans, node, &former)
                let stale = StaleEntries(everything: plans, node: node, former: former)
                removeStale(stale, node, &report)
                return report
            case .some(let plans):
                guard tables.count == families.count else { throw Self.tampered }
                let old = plans.map {
                    (old: tables[families[0]]?.plan(of: $0.service), new: $0.plan)
                }
                var report = try commit(plans, node)
                removeStale(StaleEntries(old), node, &report)
                return report
            }
        } catch {
            tables = [:]
            // Changes are tried on damaged tables as well, and may find that something is missing.
            if case .some = changes, generations.isTampered { throw CommitError(Self.tampered) }
            throw CommitError(error)
        }
    }

    /// What a commit of everything would change; touches nothing.
    package func difference(
        _ plans: [ServicePlan],
        node: NodeFacts
    ) throws(CommitError) -> [(program: Program, changes: Changeset)] {
        let node = known(node)
        do throws(NetlinkError) {
            var result: [(Program, Changeset)] = []
            for family in families {
                let contents = try reader(family, node).read(&socket)
                let (state, changes) = TableState.adopting(
                    contents,
                    plans: plans,
                    node: node,
                    family: family
                )
                result.append((state.program, changes))
            }
            return result
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

    /// Removes what kube-proxy has left in nf_tables, by name; returns what there was.
    package func removeKubeProxy(dryRun: Bool) throws(CommitError) -> [String] {
        do throws(NetlinkError) {
            let rules = try KubeProxyRules(&socket)
            if !dryRun, !rules.isEmpty {
                try rules.remove(&socket)
                try generations.committedBlindly(&socket)
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

    private func known(_ node: NodeFacts) -> NodeFacts {
        var node = node
        node.remembersClients = remembersClients
        return node
    }

    private static let tampered = NetlinkError("another program changed our tables", code: 0)

    private func reader(_ family: IPFamily, _ node: NodeFacts) -> TableReader {
        TableReader(family: family, variant: Program.Variant(node, family))
    }

    // MARK: Committing

    /// - Parameter former: gets the frontends that the kernel had before
    private func commitEverything(
        _ plans: [ServicePlan],
        _ node: NodeFacts,
        _ former: inout FormerFrontends
    ) throws(NetlinkError) -> CommitReport {
        // Somebody may write between our reading and our writing; the kernel refuses then.
        for _ in 0..<5 {
            generations.restart(at: try GenerationWatch.read(&socket))
            var changes: [TransactionEncoder] = []
            for family in families {
                let contents = try reader(family, node).read(&socket)
                former.add(contents, family)
                let (state, changeset) = TableState.adopting(
                    contents,
                    plans: plans,
                    node: node,
                    family: family
                )
                tables[family] = state
                changes.append(TransactionEncoder(program: state.program, changes: changeset))
            }
            if let report = try send(changes, isStrict: true) { return report }
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
        guard let report = try send(changes, isStrict: false) else { throw Self.tampered }
        return report
    }

    // MARK: Afterwards

    /// Removes what the commit made stale.
    ///
    /// Failures are reported and do not undo the commit.
    private func removeStale(
        _ stale: StaleEntries,
        _ node: NodeFacts,
        _ report: inout CommitReport
    ) {
        for family in families {
            do throws(NetlinkError) {
                report.staleEntriesRemoved += try AffinityMap(reader: TableReader(family: family))
                    .removeStale(stale, &affinityFill.lastSeen[family], &socket) {
                        socket throws(NetlinkError) in
                        try generations.committedBlindly(&socket)
                    }
                lookAtAffinity(family)
            } catch {
                logger.warning(
                    "some clients with affinity may stay where they are until their time is over",
                    metadata: ["error": "\(error)"]
                )
            }
        }
        outsiders.begin()
        var failure: (first: NetlinkError, count: Int)?
        report.connectionCleanups = conntrack.removeStale(
            stale,
            drainsSCTP: node.balancer == .ipvs,
            isOutsider: { outsiders.contains($0, node) },
            onFailure: { failure = (failure?.first ?? $0, (failure?.count ?? 0) + 1) }
        )
        for cleanup in report.connectionCleanups.values {
            report.staleEntriesRemoved += cleanup.deleted
        }
        guard let failure else { return }
        let advice = failure.first.isUnsupported ? "; modprobe nf_conntrack_netlink" : ""
        logger.warning(
            "some UDP and SCTP clients may stay with endpoints that are gone until they pause\(advice)",
            metadata: ["error": "\(failure.first)", "failures": "\(failure.count)"]
        )
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
