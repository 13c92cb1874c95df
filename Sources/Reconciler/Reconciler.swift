package import Backend
package import KubernetesModel
package import Logging
package import NetworkTypes
package import PlanCompiler
package import ServicePlan
internal import Synchronization
internal import Threads

/// Keeps a kernel in step with the cluster: takes events, compiles what they change, and commits it.
package actor Reconciler {
    private var cluster: Cluster
    private let backend: any Backend
    private let observer: any SyncObserver
    private let logger: Logger
    private let clock: any SyncClock
    private let apiServers: APIServerAddresses

    private var missing: Set<ObjectList>
    private var arrived: Set<ObjectList> = []
    /// When the first change arrived that is not compiled yet.
    private var pendingSince: ContinuousClock.Instant?
    private nonisolated let published: Mutex<ClusterSummary>

    private var policy = SyncPolicy()
    private var queue = CommitQueue()
    private var interfaceAddresses: [IPAddress]
    /// What the backend was told last.
    private var committedFacts = NodeFacts()
    private var isFirst = true
    /// What another program changed and nobody has repaired yet.
    private var damage: ForeignObject?
    /// The next sync looks for what nobody has told of.
    private var isReread = false
    /// When the doorbell rings by itself.
    private var alarm: ContinuousClock.Instant?
    private let doorbell = Bell()

    private var news = SyncNews()
    private var warnings = DiagnosticLog()

    /// - Parameter lists: those that are awaited before anything is programmed
    package init(
        _ cluster: Cluster,
        awaiting lists: Set<ObjectList>,
        backend: any Backend,
        interfaceAddresses: [IPAddress],
        apiServers: APIServerAddresses = APIServerAddresses(),
        observer: any SyncObserver,
        logger: Logger,
        clock: any SyncClock = MachineClock()
    ) {
        (self.cluster, self.backend, self.observer) = (cluster, backend, observer)
        (self.interfaceAddresses, self.apiServers) = (interfaceAddresses, apiServers)
        (self.logger, self.clock) = (logger, clock)
        missing = lists
        published = Mutex(ClusterSummary(missing: lists))
        apiServers.onChange { [weak self] in
            guard let self else { return }
            Task { await self.ring() }
        }
    }

    // MARK: Events

    /// Changes the objects; with `completing`, by a list that has arrived in full.
    package func update(
        completing list: ObjectList? = nil,
        _ body: @Sendable (inout ClusterState) -> Void
    ) {
        body(&cluster.state)
        if let list {
            missing.remove(list)
            arrived.insert(list)
        }
        ring()
    }

    /// Replaces everything with the objects of manifests.
    package func replaceAll(_ objects: [KubernetesObject]) {
        cluster.state.replaceAll(objects)
        missing = []
        ring()
    }

    /// Goes on without a list that is not essential, until it arrives.
    ///
    /// - Returns: whether it was still awaited
    @discardableResult
    package func waive(_ list: ObjectList) -> Bool {
        guard !list.isEssential, missing.remove(list) != nil else { return false }
        ring()
        return true
    }

    /// What an operator says of the node has changed; everything is compiled again.
    package func configure(_ configuration: NodeConfiguration) {
        cluster.configuration = configuration
        ring()
    }

    package func onInterfaceAddresses(_ addresses: [IPAddress]) {
        guard interfaceAddresses != addresses else { return }
        interfaceAddresses = addresses
        ring()
    }

    private func ring() {
        pendingSince = pendingSince ?? clock.now
        publish()
        guard missing.isEmpty else { return }
        observer.changesQueued()
        policy.onChange()
        doorbell.ring()
    }

    /// Another program touched what is ours.
    package func onForeignChange(_ object: ForeignObject) {
        let delay = policy.onForeignChange(at: clock.now)
        // What happens until the repair is part of the same.
        if damage == nil {
            damage = object
            observer.foreignChange(object, repairAfter: delay)
        }
        doorbell.ring()
    }

    /// Compares everything with the kernel, without suspicion.
    package func onReread() {
        policy.onReread(at: clock.now)
        isReread = true
        doorbell.ring()
    }

    // MARK: What there is

    /// What there is, and what waits to be compiled, as of the last change.
    ///
    /// Never waits: who asks for health is answered while everything is compiled.
    package nonisolated var summary: ClusterSummary { published.withLock { $0 } }

    private func publish() {
        let state = cluster.state
        let summary = ClusterSummary(
            services: state.services.count,
            endpoints: state.endpointCount,
            missing: missing,
            arrived: arrived,
            pendingServices: state.pending.services,
            pendingEndpoints: state.pending.endpoints,
            localGaps: cluster.localGaps,
            node: state.node
        )
        published.withLock { $0 = summary }
    }

    /// What the plans were compiled with; nil before that.
    package var facts: NodeFacts? { cluster.isCompiled ? cluster.facts : nil }

    /// What the kernel should hold and does not; nil before anything was compiled.
    package func difference() async throws(CommitError) -> [Difference]? {
        guard let facts else { return nil }
        return try await backend.difference(cluster.plans, node: facts)
    }

    // MARK: Working

    /// Syncs whenever something is due, until the task is cancelled.
    package func run() async {
        await withDiscardingTaskGroup { group in
            for await _ in doorbell.rings where missing.isEmpty {
                while !Task.isCancelled, case .sync(let scope) = policy.next(at: clock.now) {
                    await attempt(scope)
                }
                guard case .wait(let moment) = policy.next(at: clock.now), alarm != moment else {
                    continue
                }
                alarm = moment
                group.addTask { [clock, doorbell] in
                    try? await clock.sleep(until: moment)
                    doorbell.ring()
                }
            }
            group.cancelAll()
        }
    }

    /// Lets the backend do what time alone makes due, until there is nothing of that kind or the task is
    /// cancelled.
    package func maintain() async {
        while !Task.isCancelled {
            var pause = Duration.seconds(1)
            do throws(CommitError) {
                switch try await backend.maintain() {
                case .finished: return
                case .again(let duration): pause = duration
                case .resync: onReread()
                }
            } catch {
                logger.error("maintenance failed", metadata: ["error": "\(error)"])
                onReread()
            }
            try? await clock.sleep(until: clock.now + pause)
        }
    }

    private func attempt(_ scope: SyncPolicy.Scope) async {
        let start = clock.now
        do throws(CommitError) {
            log(try await sync(scope))
        } catch {
            let delay = policy.onFailure(at: clock.now, took: clock.now - start)
            observer.failed(error, retryAfter: delay)
            logger.error(
                "sync failed; what was programmed stays",
                metadata: ["error": "\(error)", "retry": "\(delay)"]
            )
        }
        isFirst = false
    }

    private func log(_ record: SyncRecord) {
        let (isFull, report) = (record.isFull, record.report)
        guard isFull || !report.isEmpty else { return }
        logger.log(
            level: isFull && !record.isRepair && (isFirst || !report.isEmpty) ? .info : .debug,
            "synced",
            metadata: [
                "scope": isFull ? "everything" : "changes", "added": "\(report.elementsAdded)",
                "removed": "\(report.elementsRemoved)", "objects": "\(report.objectsChanged)",
                "bytes": "\(report.bytes)", "stale": "\(report.staleEntriesRemoved)",
                "servers": "\(report.serversChanged)",
            ]
        )
    }

    /// Brings the kernel up to date with the cluster.
    @discardableResult
    package func sync(
        _ scope: SyncPolicy.Scope = .everything
    ) async throws(CommitError) -> SyncRecord {
        var record = SyncRecord()
        let start = clock.now
        policy.onStart()
        let update = compile(&record)
        let compiled = clock.now
        record.compiling = compiled - start
        try await commit(update, scope, &record)
        let end = clock.now
        record.committing = end - compiled
        policy.onSuccess(record.isFull ? .everything : .changes, goingOn: queue.due(at: end))
        noteDamage(update, &record, at: end, took: end - start)
        committedFacts = update.facts
        news.move(to: &record)
        observer.synced(record)
        return record
    }

    private func compile(_ record: inout SyncRecord) -> PlanUpdate {
        record.waited = pendingSince.map { clock.now - $0 } ?? .zero
        pendingSince = nil
        let update = cluster.compile(
            interfaceAddresses: interfaceAddresses,
            apiServers: apiServers.all
        )
        publish()
        record.pending = update.pending
        record.nodePortAddresses = update.nodePortAddresses
        for (name, diagnostics) in update.diagnostics {
            news.add(warnings.take(diagnostics, of: name, logger), of: name)
        }
        for change in update.changes { news.add(change) }
        return update
    }

    private func commit(
        _ update: PlanUpdate,
        _ scope: SyncPolicy.Scope,
        _ record: inout SyncRecord
    ) async throws(CommitError) {
        if scope == .changes {
            let start = clock.now
            let (changes, isLarge) = queue.next(update.changes, at: start)
            guard !changes.isEmpty || update.facts != committedFacts else { return }
            do throws(CommitError) {
                record.report = try await backend.commit(changes, node: update.facts)
                if isLarge { queue.onCommit(at: clock.now, took: clock.now - start) }
                return
            } catch  where error.recovery == .rereadKernel {
                // Below.
            }
        }
        // A failure makes the next scope everything, so no change is lost by it.
        record.isFull = true
        queue.removeAll()
        record.report = try await backend.adopt(cluster.plans, node: update.facts)
    }

    /// Finds damage that nobody told of, and enters what was repaired.
    private func noteDamage(
        _ update: PlanUpdate,
        _ record: inout SyncRecord,
        at end: ContinuousClock.Instant,
        took duration: Duration
    ) {
        guard record.isFull else { return }
        if isReread, damage == nil, update.changes.isEmpty, update.facts == committedFacts,
            record.report.serversChanged > 0
        {
            // Nobody notifies of virtual servers.
            damage = .servers
            observer.foreignChange(.servers, repairAfter: .zero)
        }
        isReread = false
        guard damage != nil else { return }
        record.isRepair = true
        policy.onRepair(at: end, took: duration)
        damage = nil
    }
}
