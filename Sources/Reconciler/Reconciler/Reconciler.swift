package import Backend
package import KubernetesModel
package import Logging
package import NetworkTypes
package import PlanCompiler
internal import ServicePlan
internal import Synchronization
internal import Threads

/// Keeps a kernel in step with the cluster: takes events, compiles what they change, and commits
/// the result.
package actor Reconciler {
    private(set) var cluster: Cluster
    let backend: any Backend
    private let observer: any SyncObserver
    private let logger: Logger
    private let clock: any SyncClock
    package nonisolated let apiServers: APIServerAddresses
    /// How far the first sync has come.
    package nonisolated let progress: StartProgress

    private var missing: Set<ObjectList>
    private var arrived: Set<ObjectList> = []
    /// When the oldest change that is not compiled yet arrived; nil if there is none.
    private var pendingSince: ContinuousClock.Instant?
    private nonisolated let published: Mutex<ClusterSummary>

    private var policy = SyncPolicy()
    private var queue = CommitQueue()
    private var interfaceAddresses: [IPAddress]
    /// The node's facts as last committed.
    private var committedFacts = NodeFacts()
    private var isFirst = true
    private var hasSynced = false
    private(set) var waiting = WaitingChanges()
    /// The kind of object that another program changed and that is not repaired yet.
    private var damage: ForeignObject?
    /// Whether the next sync looks for damage that was not reported.
    private var isReread = false
    /// When the doorbell will ring by itself.
    private var alarm: ContinuousClock.Instant?
    private let doorbell = Bell()

    private var news = SyncNews()
    private var warnings: DiagnosticLog

    /// - Parameter lists: the lists that must arrive before anything is programmed
    package init(
        _ cluster: Cluster,
        awaiting lists: Set<ObjectList>,
        backend: any Backend,
        interfaceAddresses: [IPAddress],
        apiServers: APIServerAddresses = APIServerAddresses(),
        observer: any SyncObserver,
        warnings: WarningBudget = WarningBudget(limit: 60),
        logger: Logger,
        clock: any SyncClock = MachineClock()
    ) {
        (self.cluster, self.backend, self.observer) = (cluster, backend, observer)
        (self.interfaceAddresses, self.apiServers) = (interfaceAddresses, apiServers)
        (self.logger, self.clock) = (logger, clock)
        progress = StartProgress(clock: clock, logger: logger)
        self.warnings = DiagnosticLog(warnings)
        missing = lists
        published = Mutex(ClusterSummary(missing: lists))
        apiServers.onChange { [weak self] in
            guard let self else { return }
            Task { await self.ring() }
        }
    }

    // MARK: Events

    /// Changes the objects of the cluster.
    ///
    /// - Parameters:
    /// - list: the list that has arrived in full with this change, if any
    /// - origin: where the change comes from
    package func update(
        completing list: ObjectList? = nil,
        from origin: ChangeOrigin? = nil,
        _ body: @Sendable (inout ClusterState) -> Void
    ) {
        let now = clock.now
        cluster.state.origin = origin ?? ChangeOrigin(arrived: now)
        body(&cluster.state)
        if let list {
            missing.remove(list)
            arrived.insert(list)
        }
        ring(since: now)
    }

    /// Replaces everything with the objects of manifests.
    package func replaceAll(_ objects: [KubernetesObject]) {
        let now = clock.now
        cluster.state.origin = ChangeOrigin(arrived: now)
        cluster.state.replaceAll(objects)
        missing = []
        ring(since: now)
    }

    /// Stops waiting for a list that is not essential; it may still arrive later.
    ///
    /// - Returns: whether the list was still awaited
    @discardableResult
    package func waive(_ list: ObjectList) -> Bool {
        guard !list.isEssential, missing.remove(list) != nil else { return false }
        ring()
        return true
    }

    /// Takes a new configuration of the node, with which all Services are compiled again.
    package func configure(_ configuration: NodeConfiguration) {
        cluster.configuration = configuration
        ring()
    }

    package func onInterfaceAddresses(_ addresses: [IPAddress]) {
        guard interfaceAddresses != addresses else { return }
        interfaceAddresses = addresses
        ring()
    }

    private func ring(since moment: ContinuousClock.Instant? = nil) {
        pendingSince = pendingSince ?? clock.now
        publish()
        guard missing.isEmpty else { return }
        progress.listsArrived(
            at: moment ?? clock.now,
            services: cluster.state.serviceCount,
            endpoints: cluster.state.endpointCount
        )
        observer.changesQueued()
        policy.onChange()
        doorbell.ring()
    }

    /// Takes note that another program changed an object of needletail's.
    package func onForeignChange(_ object: ForeignObject) {
        let delay = policy.onForeignChange(at: clock.now)
        // Further changes before the repair count as the same damage.
        if damage == nil {
            damage = object
            observer.foreignChange(object, repairAfter: delay)
        }
        doorbell.ring()
    }

    /// Asks for a comparison of everything with the kernel, as a precaution.
    package func onReread() {
        policy.onReread(at: clock.now)
        isReread = true
        doorbell.ring()
    }

    // MARK: What there is

    /// The state of the cluster as of the last change.
    ///
    /// Reading it never waits, so health checks are answered while everything is being compiled.
    package nonisolated var summary: ClusterSummary { published.withLock { $0 } }

    private func publish() {
        let state = cluster.state
        let summary = ClusterSummary(
            services: state.serviceCount,
            endpoints: state.endpointCount,
            missing: missing,
            arrived: arrived,
            pendingServices: state.pending.services,
            pendingEndpoints: state.pending.endpoints,
            localGaps: cluster.localGaps,
            node: state.node,
            primaryAddresses: cluster.primaryAddresses,
            localEndpoints: cluster.localEndpoints
        )
        published.withLock { $0 = summary }
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

    /// Lets the backend do the work that becomes due by time alone, until there is none left or the
    /// task is cancelled.
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
            try await sync(scope).log(to: logger, isFirst: isFirst)
        } catch {
            let delay = policy.onFailure(at: clock.now, took: clock.now - start)
            observer.failed(
                SyncFailure(
                    error,
                    retryAfter: delay,
                    waiting: waiting.services(atMost: 8),
                    waitingCount: waiting.count
                )
            )
            logger.error(
                "sync failed; what was programmed stays",
                metadata: ["error": "\(error)", "retry": "\(delay)"]
            )
        }
        isFirst = false
    }

    /// Brings the kernel up to date with the cluster.
    @discardableResult
    package func sync(
        _ scope: SyncPolicy.Scope = .everything
    ) async throws(CommitError) -> SyncRecord {
        var record = SyncRecord()
        let start = clock.now
        policy.onStart()
        let update: PlanUpdate
        if cluster.isCompiled {
            update = compile(&record)
            record.compiling = clock.now - start
            try await commit(update, scope, &record)
        } else {
            update = try await startCold(&record)
        }
        let end = clock.now
        record.committing = end - start - record.compiling
        record.ended = end
        record.largeChangesWaiting = queue.count
        policy.onSuccess(record.isFull ? .everything : .changes, goingOn: queue.due(at: end))
        noteDamage(update, &record, at: end, took: end - start)
        committedFacts = update.facts
        news.move(to: &record)
        (record.isFirst, hasSynced) = (!hasSynced, true)
        record.services = cluster.planCount
        progress.finished(services: record.services)
        record.nodeChanges = waiting.takeNodeChanges()
        observer.synced(record)
        return record
    }

    private func compile(_ record: inout SyncRecord) -> PlanUpdate {
        noteWait(&record)
        let update = cluster.compile(
            interfaceAddresses: interfaceAddresses,
            apiServers: apiServers.all
        )
        note(update, &record)
        return update
    }

    private func noteWait(_ record: inout SyncRecord) {
        record.waited = pendingSince.map { clock.now - $0 } ?? .zero
        pendingSince = nil
    }

    private func note(_ update: PlanUpdate, _ record: inout SyncRecord) {
        publish()
        record.pending = update.pending
        record.nodePortAddresses = update.nodePortAddresses
        for (name, diagnostics) in update.diagnostics {
            let new = warnings.take(diagnostics, of: name, logger)
            news.add(new, of: name, cluster.state.service(name)?.uid)
        }
        for change in update.changes { news.add(change) }
        if hasSynced {
            waiting.add(update.changes, update.pending.causes, update.nodeChanges, at: clock.now)
        }
    }

    /// Compiles and programs everything for the first time, that first for which others wait.
    private func startCold(_ record: inout SyncRecord) async throws(CommitError) -> PlanUpdate {
        noteWait(&record)
        record.isFull = true
        let cold = ColdStart(
            cluster,
            interfaceAddresses: interfaceAddresses,
            apiServers: apiServers.all,
            clock: clock
        )
        // Changes that arrive from now on are not among those that it compiles.
        _ = cluster.state.takeChanges()
        let result: Result<CommitReport, CommitError>
        do throws(CommitError) {
            result = .success(try await backend.adopt(cold.supply(progress), node: cluster.facts))
        } catch {
            result = .failure(error)
        }
        let (compiled, update, compiling) = cold.finish()
        cluster.take(plansOf: compiled)
        for change in cold.firstChanges { news.add(change) }
        note(update, &record)
        record.compiling = compiling
        record.report = try result.get()
        record.changes = waiting.take(nil)
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
                record.changes = waiting.take(changes)
                if isLarge { queue.onCommit(at: clock.now, took: clock.now - start) }
                return
            } catch  where error.recovery == .rereadKernel {
                record.refusal = "\(error)"
                // Everything is adopted below.
            }
        }
        // If this fails, the next sync is of everything, so clearing the queue loses no change.
        record.isFull = true
        queue.removeAll()
        record.report = try await backend.adopt(
            cluster.plans.inOrderOfNeed,
            node: update.facts
        )
        record.changes = waiting.take(nil)
    }

    /// Detects damage that was not reported, and records the repair.
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
            // The kernel sends no notifications about virtual servers.
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
