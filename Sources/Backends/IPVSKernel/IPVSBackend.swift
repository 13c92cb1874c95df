package import Backend
internal import Glibc
internal import IPVS
package import Logging
internal import NFTables
package import NFTablesKernel
internal import Netlink
package import NetworkTypes
package import ServicePlan

/// The backend of mode ipvs: IPVS balances, and tables with the role `policy` do what IPVS cannot.
///
/// When it is retiring (the node has switched to mode nftables), the tables serve new clients, and
/// virtual servers are removed when their last connections have ended.
package actor IPVSBackend: Backend {
    private let kernelQueue = KernelQueue()
    package nonisolated let families: [IPFamily]
    let policy: TableProgrammer
    let settings: IPVSSettings
    /// The defaults from the settings, with the refusals of the kernel.
    var defaults: BalancingDefaults
    let logger: Logger
    var ipvs: IPVSSocket
    var device: DummyDevice
    var steering: SteeringRoute
    /// The virtual servers; nil before the kernel was first read, and after a failure.
    var table: ServerTable?
    /// The state of a switch to nftables; nil in mode ipvs.
    var retirement: Retirement?
    private var bound: Set<IPAddress> = []
    private var lastFullSync: Double?
    /// The inputs that the rules were last made from.
    var rules: TableInputs?
    private var isPrepared = false

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        kernelQueue.asUnownedSerialExecutor()
    }

    /// Finds IPVS, and loads its module if needed.
    ///
    /// - Throws: if the kernel has no IPVS, or the process has too few privileges
    package init(
        policy: sending TableProgrammer,
        _ settings: IPVSSettings,
        isRetiring: Bool = false,
        logger: Logger
    ) throws(CommitError) {
        families = policy.families
        self.policy = policy
        self.settings = settings
        defaults = settings.defaults
        retirement = isRetiring ? Retirement(drainTimeout: settings.drainTimeout) : nil
        self.logger = logger
        do throws(NetlinkError) {
            var found = try IPVSSocket()
            if found == nil {
                loadIPVS()
                found = try IPVSSocket()
            }
            guard let found = consume found else { throw Self.noIPVS }
            ipvs = found
            device = try DummyDevice(VirtualDevice.name)
            steering = try SteeringRoute(mark: SteeringMark.bit)
        } catch {
            throw CommitError(ipvs: error)
        }
    }

    /// Whether an earlier run in mode ipvs has left virtual servers or the device.
    ///
    /// - Parameter takesOver: whether the device counts even if all virtual servers are of other
    /// programs, which includes kube-proxy
    package static func hasLeftovers(takesOver: Bool = false) -> Bool {
        guard var ipvs = (try? IPVSSocket()) ?? nil else { return false }
        let servers = (try? ipvs.servers()) ?? []
        let hasDevice = if_nametoindex(VirtualDevice.name) != 0
        // If there are only servers of other programs, the device is kube-proxy's, which may be
        // running.
        return servers.contains { $0.flags.contains(.ours) }
            || hasDevice && (takesOver || servers.isEmpty)
    }

    package func adopt(
        _ supply: PlanSupply,
        node: NodeFacts
    ) throws(CommitError) -> CommitReport {
        let plans = supply.all()
        defer { supply.programmed(plans.count) }
        if retirement?.isOver == true { return try policy.adopt(plans, inputs(node)) }
        if retirement != nil { return try leaveEverything(plans, node) }
        var report: CommitReport
        if try policy.isProgrammed() {
            // Another mode may still serve the node: its rules stay until the virtual servers
            // exist.
            report = try failing { () throws(NetlinkError) in try serveEverything(plans) }
            report.add(try policy.adopt(plans, inputs(node)))
        } else {
            // No frontend may be reachable before the rules that protect it exist.
            report = try policy.adopt(plans, inputs(node))
            report.add(try failing { () throws(NetlinkError) in try serveEverything(plans) })
        }
        return report
    }

    package func commit(
        _ changes: [PlanChange],
        node: NodeFacts
    ) throws(CommitError) -> CommitReport {
        if retirement?.isOver == true { return try policy.commit(changes, inputs(node)) }
        // The rules must know which destinations will drain before the servers change.
        guard let operations = table?.apply(changes, now: Self.now) else {
            throw CommitError("IPVS: the kernel was not read yet", recovery: .rereadKernel)
        }
        var report: CommitReport
        do throws(CommitError) {
            report = try policy.commit(changes, inputs(node))
        } catch {
            table = nil
            throw error
        }
        report.add(try failing { () throws(NetlinkError) in try serve(operations) })
        guard table != nil else {
            throw CommitError("IPVS: the kernel refuses a part of it", recovery: .rereadKernel)
        }
        return report
    }

    package func watch(
        _ tell: @escaping @Sendable (BackendEvent) async -> Void
    ) async throws(CommitError) {
        let lostAddresses: AsyncStream<IPAddress?>
        do throws(NetlinkError) {
            lostAddresses = try NetlinkSubscription(.route, groups: InterfaceAddresses.groups)
                .changes { InterfaceAddresses.removed($0) }
        } catch {
            throw CommitError(ipvs: error)
        }
        let (news, descriptor, queue) = (policy.news, policy.descriptor, kernelQueue.queue)
        await withDiscardingTaskGroup { group in
            group.addTask {
                await news.follow(descriptor, on: queue, tell) {
                    self.assumeIsolated { $0.policy.events() }
                }
            }
            group.addTask {
                // Nil means that some notifications were lost.
                for await address in lostAddresses where await self.misses(address) {
                    await tell(.foreignChange(.addresses))
                }
            }
        }
    }

    /// Returns the inputs of the tables: the node's facts, and what the rules must know about IPVS.
    func inputs(_ node: NodeFacts) -> TableInputs {
        var inputs = TableInputs(node, role: retirement == nil ? .policy : .balancer)
        inputs.draining = table?.drainingDestinations ?? []
        inputs.inherited = retirement?.connections
        rules = inputs
        return inputs
    }

    package func elementCounts() -> [ElementCount] { policy.elementCounts() }

    /// Returns the chains of other programs that decide what is forwarded.
    ///
    /// In mode ipvs none of them accepts Services: IPVS does not set the status bit `dnat` of a
    /// connection, so `ct status dnat accept` does not match.
    package func forwardChains() throws(CommitError) -> [ForwardChain] {
        var chains = try policy.forwardChains()
        guard retirement == nil else { return chains }
        for index in chains.indices { chains[index].acceptsServices = false }
        return chains
    }

    /// Returns how many connections were counted for each Service (`namespace/name`).
    ///
    /// In mode ipvs these are IPVS's counts. They do not include connections of pods and the node
    /// to frontends with policy Local, which the rules translate.
    package func connectionCounts() -> [String: UInt64] {
        guard retirement == nil else { return policy.connectionCounts() }
        guard let table, let statistics = try? ipvs.statistics() else { return [:] }
        var counts: [String: UInt64] = [:]
        for (key, service) in table.services {
            if let own = statistics[key] { counts[service, default: 0] += own.connections }
        }
        return counts
    }

    /// Whether an address that must be bound is missing.
    ///
    /// - Parameter address: the address that was removed; nil if it may have been any
    private func misses(_ address: IPAddress?) -> Bool {
        guard let present = try? device.addresses() else { return true }
        return address.map { bound.contains($0) && !present.contains($0) }
            ?? !bound.isSubset(of: present)
    }

    /// Runs `body`; if it fails, forgets the table, which may no longer match the kernel.
    func failing<Value>(
        _ body: () throws(NetlinkError) -> Value
    ) throws(CommitError) -> Value {
        do throws(NetlinkError) {
            return try body()
        } catch {
            table = nil
            throw CommitError(ipvs: error)
        }
    }

    // MARK: Committing

    /// The whole seconds since this program first asked, from a clock that only goes forward.
    static var now: Double {
        Double((ContinuousClock.now - start).components.seconds)
    }
    private static let start = ContinuousClock.now

    private func prepare() throws(NetlinkError) {
        try device.create()
        try steering.create(policy.families)
        guard !isPrepared else { return }
        KernelSettings.ipvs(strictARP: settings.strictARP).apply(logger)
        try ipvs.setTimeouts(
            tcp: settings.tcpTimeout,
            tcpFIN: settings.tcpFINTimeout,
            udp: settings.udpTimeout
        )
        isPrepared = true
    }

    /// - Parameter keys: of the servers that are looked at; nil for all
    func adopted(
        _ plans: [ServicePlan],
        among keys: Set<FrontendKey>? = nil
    ) throws(NetlinkError) -> (table: ServerTable, operations: [ServerOperation]) {
        let isRetiring = retirement != nil
        try findIPVS()
        let onDevice = try device.addresses()
        let takesOver = !isRetiring || settings.takesOver
        var wanted: [FrontendKey: Frontend.Kind] = [:]
        // While retiring, kube-proxy's servers for the plans' frontends must go too: they would
        // take packets from the tables.
        if takesOver {
            for frontend in plans.flatMap(\.frontends)
            where isRetiring || frontend.action.outerPool != nil {
                wanted[frontend.key] = frontend.kind
            }
        }
        var kernel: [VirtualServer] = []
        var others: Set<FrontendKey> = []
        for var server in try ipvs.servers(keys) {
            let kind = wanted[server.key]
            // All addresses of kube-proxy's servers are on the device, except those of NodePorts.
            let isTheirs =
                takesOver && (onDevice.contains(server.key.address) || kind == .nodePort)
            guard server.flags.contains(.ours) || isTheirs else {
                if kind != nil { others.insert(server.key) }
                continue
            }
            server.destinations = try ipvs.destinations(of: server.key).map(\.destination)
                .sorted { $0.id < $1.id }
            kernel.append(server)
        }
        leave(others)
        return ServerTable.adopting(
            kernel,
            plans: plans,
            defaults,
            drainTimeout: settings.drainTimeout,
            bound: onDevice,
            isExcluded: { address in
                self.settings.excludedCIDRs.contains { $0.contains(address) }
            },
            isRetiring: isRetiring,
            now: Self.now
        )
    }

    func serveEverything(_ plans: [ServicePlan]) throws(NetlinkError) -> CommitReport {
        if retirement == nil { try prepare() }
        var report = CommitReport()
        repeat {
            let (new, operations) = try adopted(plans)
            bound = try device.addresses()
            table = new
            report.add(try perform(operations, of: bound.union(new.addresses)))
        } while table == nil
        lastFullSync = Self.now
        // Destinations without connections need not wait.
        try drain(table?.drainingServers ?? [])
        return report
    }

    /// Performs the operations, and removes leaving servers that have no connections.
    ///
    /// If `table` is nil afterwards, the kernel has refused something, and everything must be
    /// computed anew.
    private func serve(_ operations: [ServerOperation]) throws(NetlinkError) -> CommitReport {
        let report = try perform(operations, of: table?.takeTouchedAddresses() ?? [])
        // Servers that are leaving and have no connections go at once.
        try drain(Set(operations.map(\.key)).filter { table?.isLeaving($0) == true })
        return report
    }

    /// Returns the addresses that no other interface has.
    ///
    /// Binding an address of another interface would cut the node off
    /// (kubernetes/kubernetes#93175).
    private func withoutOthers(_ addresses: Set<IPAddress>) throws(NetlinkError) -> Set<IPAddress> {
        var result = addresses
        for address in addresses where try device.isLocal(address) { result.remove(address) }
        return result
    }

    /// Returns which of the candidates must be bound, and which must not be bound any longer.
    func differences(
        of candidates: Set<IPAddress>,
        _ table: ServerTable,
        _ bound: Set<IPAddress>
    ) throws(NetlinkError) -> (missing: Set<IPAddress>, unneeded: Set<IPAddress>) {
        let missing = candidates.filter { !bound.contains($0) && table.needs($0) }
        return (
            try withoutOthers(missing),
            candidates.filter { bound.contains($0) && !table.needs($0) }
        )
    }

    /// Creates servers before their addresses are bound, and removes servers after their addresses
    /// are unbound.
    ///
    /// If `table` is nil afterwards, the kernel has refused something, and everything must be
    /// computed anew.
    @discardableResult
    func perform(
        _ operations: [ServerOperation],
        of addresses: Set<IPAddress>
    ) throws(NetlinkError) -> CommitReport {
        guard let table else { return CommitReport() }
        let refused = try ipvs.perform(operations.filter { !$0.isRemoval })
        let (missing, unneeded) = try differences(of: addresses, table, bound)
        if !missing.isEmpty || !unneeded.isEmpty {
            try device.change(adding: missing, removing: unneeded)
            bound = bound.union(missing).subtracting(unneeded)
        }
        try ipvs.perform(operations.filter(\.isRemoval))
        var report = CommitReport()
        report.serversChanged =
            operations.count - refused.count + missing.count + unneeded.count
        if try learn(refused) { self.table = nil }
        return report
    }

    // MARK: Time

    static let drainInterval = Duration.seconds(1)

    package func maintain() throws(CommitError) -> Maintenance {
        if retirement?.isOver == true { return .finished }
        guard table != nil else { return .again(after: Self.drainInterval) }
        let start = ContinuousClock.now
        try failing { () throws(NetlinkError) in try drain(table?.drainingServers ?? []) }
        if retirement != nil { return try retire() }
        guard let table, let lastFullSync else { return .again(after: Self.drainInterval) }
        if let rules, rules.draining != table.drainingDestinations {
            _ = try policy.commit([], inputs(rules.facts))
        }
        let isDue = Self.now - lastFullSync >= Double(settings.syncPeriod.components.seconds)
        if isDue { return .resync }
        // Asking very many servers must take at most a twentieth of the time.
        return .again(after: max(Self.drainInterval, (.now - start) * 20))
    }

    private func drain(_ keys: some Sequence<FrontendKey>) throws(NetlinkError) {
        var operations: [ServerOperation] = []
        for key in keys {
            let states = try ipvs.destinations(of: key)
            operations +=
                table?.finishDraining(
                    key,
                    connections: Dictionary(
                        states.map { ($0.destination.id, $0.connections) },
                        uniquingKeysWith: { $1 }
                    ),
                    now: Self.now
                ) ?? []
        }
        guard !operations.isEmpty else { return }
        try perform(operations, of: table?.takeTouchedAddresses() ?? [])
    }
}
