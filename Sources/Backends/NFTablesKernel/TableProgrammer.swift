package import Backend
internal import CNeedleShim
package import Logging
package import NFTables
package import NetworkTypes
package import Netlink
package import ServicePlan

/// Programs the tables `ip needletail` and `ip6 needletail` of this network namespace, and removes
/// stale connection tracking and affinity entries.
///
/// Its calls block, and only one thread may use it at a time.
package final class TableProgrammer {
    package let families: [IPFamily]
    private let logger: Logger
    let netlink: NetlinkTables
    private var tables: NodeTables
    private var conntrack: ConnectionTracking
    private var outsiders: OutsiderLookup
    private let remembersClients: Bool
    private var affinityFill = AffinityFill()

    /// Opens the sockets that are needed, and finds out whether the kernel can hash in rules.
    ///
    /// - Throws: if the kernel lacks nf_tables, or the process has too few privileges
    package init(families: [IPFamily], logger: Logger) throws(CommitError) {
        self.families = families
        self.logger = logger
        do throws(NetlinkError) {
            netlink = try NetlinkTables()
            conntrack = try ConnectionTracking()
            outsiders = try OutsiderLookup()
            remembersClients = HashProbe.succeeds(&netlink.socket)
        } catch {
            throw CommitError(opening: error)
        }
        tables = NodeTables(families, netlink)
        guard !remembersClients else { return }
        logger.warning(
            """
            this kernel cannot hash in nftables rules, so sessionAffinity ClientIP has no effect; \
            everything else works. Load the module nft_hash (CONFIG_NFT_HASH) and restart needletail
            """
        )
    }

    package func adopt(
        _ plans: [ServicePlan],
        _ inputs: TableInputs
    ) throws(CommitError) -> CommitReport { try adopt(PlanSupply(plans), inputs) }

    package func adopt(
        _ supply: PlanSupply,
        _ inputs: TableInputs
    ) throws(CommitError) -> CommitReport {
        defer { news.tell(found()) }
        let inputs = known(inputs)
        var (report, former) = try CommitError.translating { () throws(TableFault) in
            try tables.adopt(supply, inputs)
        }
        let stale = StaleEntries(everything: supply.all(), node: inputs.facts, former: former)
        removeStale(stale, inputs, &report)
        return report
    }

    package func commit(
        _ changes: [PlanChange],
        _ inputs: TableInputs
    ) throws(CommitError) -> CommitReport {
        defer { news.tell(found()) }
        let inputs = known(inputs)
        var report = try CommitError.translating { () throws(TableFault) in
            try tables.commit(changes, inputs)
        }
        removeStale(StaleEntries(changes), inputs, &report)
        return report
    }

    package func difference(
        _ plans: [ServicePlan],
        _ inputs: TableInputs
    ) throws(CommitError) -> [TableTransaction] {
        try CommitError.translating { () throws(TableFault) in
            try tables.difference(plans, known(inputs))
        }
    }

    /// Returns what `adopt` would change for some Services among others.
    package func difference(
        for services: [ServicePlan],
        _ inputs: TableInputs
    ) throws(CommitError) -> [TableTransaction] {
        try CommitError.translating { () throws(TableFault) in
            try tables.difference(for: services, known(inputs))
        }
    }

    func known(_ inputs: TableInputs) -> TableInputs {
        var inputs = inputs
        inputs.remembersClients = remembersClients
        return inputs
    }

    /// Whether the kernel already has a table of needletail's.
    package func isProgrammed() throws(CommitError) -> Bool {
        try CommitError.translating { () throws(NetlinkError) in
            for family in families where try TableReader.isThere(family, &netlink.socket) {
                return true
            }
            return false
        }
    }

    /// Removes needletail's tables, and returns those that there were.
    package func removeTables(dryRun: Bool) throws(CommitError) -> [Difference] {
        try CommitError.translating { () throws(NetlinkError) in
            var found: [Difference] = []
            var batch = NetlinkBatch(
                subsystem: Constant.subsystem,
                generation: nil,
                firstSequence: netlink.socket.nextSequence()
            )
            for family in families where try TableReader.isThere(family, &netlink.socket) {
                let table = "table \(family.nftName) \(RulesetPrinter.tableName)"
                found.append(Difference(.remove, table, of: .everyone))
                TransactionEncoder.removeTable(family, &batch)
            }
            netlink.socket.advance(to: batch.sequenceAfter)
            if !dryRun { try batch.commit(&netlink.socket, subsystem: Constant.subsystem) }
            return found
        }
    }

    /// Makes the recorder note what the kernel is asked from now on.
    package func record(with recorder: RequestRecorder) { netlink.socket.recorder = recorder }

    // MARK: News

    /// The events of every commit; `follow` adds those that notifications report.
    package let news = NewsFeed()

    /// A descriptor that is readable when there may be events.
    package var descriptor: Int32 { netlink.descriptor }

    /// Returns what other programs have done to the kernel since the last call.
    package func events() -> [BackendEvent] {
        tables.generations.take(netlink.news())
        return found()
    }

    /// Returns the events that have been noticed; those noticed while committing are reported by no
    /// further notification.
    private func found() -> [BackendEvent] {
        let isForwarding = tables.generations.takeForwardingTouch()
        return (isForwarding ? [.forwarding] : [])
            + (tables.isTampered ? [.foreignChange(.table)] : [])
    }

    /// Returns the chains of other programs at the forward hook; `events` reports their changes
    /// from now on.
    package func forwardChains() throws(CommitError) -> [ForwardChain] {
        try CommitError.translating { () throws(NetlinkError) in try netlink.forwardChains() }
    }

    // MARK: Reading

    /// Returns the endpoint that the kernel remembers for a client of a frontend with affinity.
    package func rememberedEndpoint(
        of client: IPAddress,
        at frontend: FrontendKey
    ) throws(CommitError) -> AddressAndPort? {
        try CommitError.translating { () throws(NetlinkError) in
            let map = AffinityMap(reader: TableReader(family: frontend.address.family))
            return try map.endpoint(of: client, at: frontend, &netlink.socket)
        }
    }

    package func connectionCounts() -> [String: UInt64] {
        var counts: [String: UInt64] = [:]
        for family in tables.tables.keys {
            let reader = TableReader(family: family)
            for (label, count) in (try? reader.connectionCounts(&netlink.socket)) ?? [] {
                // A label is `namespace/name:port`.
                counts[String(label.prefix { $0 != ":" }), default: 0] += count
            }
        }
        return counts
    }

    /// Returns the number of elements of each set, as committed; for the affinity map, as the
    /// kernel counts them.
    package func elementCounts() -> [ElementCount] {
        var counts: [ElementCount] = []
        for (family, state) in tables.tables {
            counts += state.elementCounts.map {
                ElementCount(set: $0.key.name, family: family, count: $0.value)
            }
            guard let count = lookAtAffinity(family) else { continue }
            counts.append(ElementCount(set: SetID.affinity.name, family: family, count: count))
        }
        return counts
    }

    /// Returns the number of entries of the affinity map, if it is known, and warns when the map is
    /// almost full.
    @discardableResult
    private func lookAtAffinity(_ family: IPFamily) -> Int? {
        let map = AffinityMap(reader: TableReader(family: family))
        let last = affinityFill.lastSeen[family]
        guard let count = try? map.count(&netlink.socket) ?? last else { return nil }
        if affinityFill.isWorthAWarning(count, family) {
            logger.warning(
                """
                the affinity map is almost full; new clients of Services with sessionAffinity ClientIP will \
                not be remembered: find the Service with so many clients (nft list map \
                \(family.nftName) \(RulesetPrinter.tableName) affinity), or shorten its timeout
                """,
                metadata: ["entries": "\(count)", "limit": "\(AffinityFill.limit)"]
            )
        }
        return count
    }

    // MARK: After a commit

    /// Removes the entries that a commit made stale.
    ///
    /// Failures are logged and do not undo the commit.
    private func removeStale(
        _ stale: StaleEntries,
        _ inputs: TableInputs,
        _ report: inout CommitReport
    ) {
        for family in families { forgetClients(stale, family, &report) }
        outsiders.begin()
        var failure: (first: NetlinkError, count: Int)?
        report.connectionCleanups = conntrack.removeStale(
            stale,
            drainsSCTP: inputs.role == .policy,
            isOutsider: { outsiders.contains($0, inputs.facts) },
            onFailure: { failure = (failure?.first ?? $0, (failure?.count ?? 0) + 1) }
        )
        for cleanup in report.connectionCleanups.values {
            report.staleEntriesRemoved += cleanup.deleted
        }
        // This returns the memory that a large change needed to the system.
        if report.bytes > Self.largeReport { needle_release_free_memory() }
        guard let failure else { return }
        let advice = failure.first.isUnsupported ? "; modprobe nf_conntrack_netlink" : ""
        logger.warning(
            "some UDP and SCTP clients may stay with endpoints that are gone until they pause\(advice)",
            metadata: ["error": "\(failure.first)", "failures": "\(failure.count)"]
        )
    }

    private static let largeReport = 1 << 20

    private func forgetClients(
        _ stale: StaleEntries,
        _ family: IPFamily,
        _ report: inout CommitReport
    ) {
        do throws(CommitError) {
            let count = try CommitError.translating { () throws(NetlinkError) in
                try AffinityMap(reader: TableReader(family: family))
                    .removeStale(stale, &affinityFill.lastSeen[family], &netlink.socket)
            }
            if count > 0 {
                try CommitError.translating { () throws(TableFault) in
                    try tables.committedBlindly()
                }
            }
            report.staleEntriesRemoved += count
            lookAtAffinity(family)
        } catch {
            logger.warning(
                "some clients with affinity may stay with a removed endpoint until the timeout",
                metadata: ["error": "\(error)"]
            )
        }
    }
}

extension CommitError {
    private static let privilege = "run with the capability NET_ADMIN (root has it)"

    init(_ fault: TableFault) {
        switch fault {
        case .tampered:
            self.init("nftables: another program changed our tables", recovery: .rereadKernel)
        case .staleGeneration:
            self.init("nftables: another program committed meanwhile", recovery: .rereadKernel)
        case .tooLarge:
            self.init("nftables: the kernel has no room for the transaction", recovery: .retry)
        case .refused(let refusal):
            self.init(
                "nftables: \(refusal.text)",
                recovery: refusal.isPrivilege ? .operatorAction(Self.privilege) : .retry
            )
        }
    }

    /// Makes an error for a failure at the start, which somebody must fix: what is missing then
    /// will not appear by itself.
    init(opening error: NetlinkError) {
        let advice =
            error.isPermissionDenied
            ? Self.privilege
            : "this kernel seems to have no nf_tables: load its module (modprobe nf_tables), or boot"
                + " a kernel with CONFIG_NF_TABLES"
        self.init("nftables: \(error)", recovery: .operatorAction(advice))
    }

    static func translating<Value>(
        _ body: () throws(TableFault) -> Value
    ) throws(CommitError) -> Value {
        do throws(TableFault) { return try body() } catch { throw CommitError(error) }
    }

    static func translating<Value>(
        _ body: () throws(NetlinkError) -> Value
    ) throws(CommitError) -> Value {
        do throws(NetlinkError) { return try body() } catch { throw CommitError(TableFault(error)) }
    }
}
