package import ClusterStore
internal import KubernetesModel
package import Logging
package import NetworkTypes
internal import PlanCompiler
package import ServicePlan

/// Keeps a dataplane in step with the cluster.
package actor Syncer {
    private let store: ClusterStore
    private let dataplane: any Dataplane
    private let observer: any SyncObserver
    private let logger: Logger
    private let clock: any SyncClock

    private var policy = SyncPolicy()
    private var queue = CommitQueue()
    private var facts = NodeFacts()
    private var isFirst = true
    /// What another program changed and nobody has repaired yet.
    private var damage: ForeignObject?
    /// When the doorbell rings by itself.
    private var alarm: ContinuousClock.Instant?
    private var healthChecks: [String: HealthCheck?] = [:]
    private var forwardedPorts: [String: [ForwardedPort]] = [:]
    /// The next sync looks for what nobody has told of.
    private var isReread = false
    private var interfaceAddresses: [IPAddress]
    private var reported: [ObjectName: [Diagnostic]] = [:]
    private var warnings = WarningBudget()
    private var news: [(service: ObjectName, diagnostic: Diagnostic)] = []
    private static let newsLimit = 1000
    private let doorbell: AsyncStream<Void>.Continuation
    private let rings: AsyncStream<Void>

    package init(
        store: ClusterStore,
        dataplane: any Dataplane,
        interfaceAddresses: [IPAddress],
        observer: any SyncObserver,
        logger: Logger,
        clock: any SyncClock = MachineClock()
    ) {
        self.clock = clock
        self.store = store
        self.dataplane = dataplane
        self.interfaceAddresses = interfaceAddresses
        self.observer = observer
        self.logger = logger
        (rings, doorbell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Syncs whenever something is due, until the task is cancelled.
    package func run() async {
        await withDiscardingTaskGroup { group in
            for await _ in rings where await store.isComplete {
                while !Task.isCancelled, case .sync(let scope) = policy.next(at: clock.now) {
                    await attempt(scope)
                }
                guard case .wait(let moment) = policy.next(at: clock.now), alarm != moment else {
                    continue
                }
                alarm = moment
                group.addTask { [clock, doorbell] in
                    try? await clock.sleep(until: moment)
                    doorbell.yield()
                }
            }
            group.cancelAll()
        }
    }

    private func attempt(_ scope: SyncPolicy.Scope) async {
        let start = clock.now
        do throws(CommitError) {
            try await syncAndReport(scope)
        } catch {
            let delay = policy.onFailure(at: clock.now, took: clock.now - start)
            observer.failed(error, retryAfter: delay)
            logger.error(
                "sync failed; what was programmed stays",
                metadata: ["error": "\(error)", "retry": "\(delay)"]
            )
        }
    }

    /// Something in the store changed.
    package func onClusterChange() {
        observer.changesQueued()
        policy.onChange()
        doorbell.yield()
    }

    package func onInterfaceAddresses(_ addresses: [IPAddress]) {
        guard interfaceAddresses != addresses else { return }
        interfaceAddresses = addresses
        onClusterChange()
    }

    /// Another program touched what is ours.
    package func onForeignChange(_ object: ForeignObject) {
        let delay = policy.onForeignChange(at: clock.now)
        // What happens until the repair is part of the same.
        if damage == nil {
            damage = object
            observer.foreignChange(object, repairAfter: delay)
        }
        doorbell.yield()
    }

    /// Compares everything with the kernel, without suspicion.
    package func onReread() {
        policy.onReread(at: clock.now)
        isReread = true
        doorbell.yield()
    }

    /// Lets the dataplane do what time alone makes due, until there is nothing of that kind or the
    /// task is cancelled.
    package func maintain() async {
        while !Task.isCancelled {
            var pause = Duration.seconds(1)
            do throws(CommitError) {
                switch try await dataplane.maintain() {
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

    private func syncAndReport(_ scope: SyncPolicy.Scope) async throws(CommitError) {
        defer { isFirst = false }
        let record = try await sync(scope)
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

    /// Brings the dataplane up to date with the store.
    @discardableResult
    package func sync(
        _ scope: SyncPolicy.Scope = .everything
    ) async throws(CommitError) -> SyncRecord {
        var record = SyncRecord()
        let start = clock.now
        policy.onStart()
        let update = await store.compileChanges(interfaceAddresses: interfaceAddresses)
        (record.pending, record.waited) = (update.pending, update.waited)
        record.nodePortAddresses = update.nodePortAddresses
        for (name, diagnostics) in update.diagnostics { log(diagnostics, of: name) }
        for (service, plan) in update.plans {
            healthChecks.updateValue(plan?.healthCheck, forKey: service)
            forwardedPorts[service] = plan?.forwardedPorts ?? []
        }
        let compiled = clock.now
        record.compiling = compiled - start
        try await commit(update, scope, &record)
        let end = clock.now
        record.committing = end - compiled
        policy.onSuccess(record.isFull ? .everything : .changes, goingOn: queue.due(at: end))
        noteDamage(update, &record, at: end, took: end - start)
        facts = update.facts
        record.healthChecks = healthChecks
        record.forwardedPorts = forwardedPorts
        record.news = news
        (healthChecks, forwardedPorts, news) = ([:], [:], [])
        observer.synced(record)
        return record
    }

    /// Finds damage that nobody told of, and enters what was repaired.
    private func noteDamage(
        _ update: PlanUpdate,
        _ record: inout SyncRecord,
        at end: ContinuousClock.Instant,
        took duration: Duration
    ) {
        guard record.isFull else { return }
        if isReread, damage == nil, update.plans.isEmpty, update.facts == facts,
            record.report.serversChanged > 0
        {
            // IPVS notifies nobody.
            damage = .servers
            observer.foreignChange(.servers, repairAfter: .zero)
        }
        isReread = false
        guard damage != nil else { return }
        record.isRepair = true
        policy.onRepair(at: end, took: duration)
        damage = nil
    }

    private func commit(
        _ update: PlanUpdate,
        _ scope: SyncPolicy.Scope,
        _ record: inout SyncRecord
    ) async throws(CommitError) {
        if scope == .changes {
            let start = clock.now
            let (changes, isLarge) = queue.next(
                update.plans,
                replacing: { update.replaced[$0] },
                at: start
            )
            guard !changes.isEmpty || update.facts != facts else { return }
            do throws(CommitError) {
                record.report = try await dataplane.commit(.some(changes), node: update.facts)
                if isLarge { queue.onCommit(at: clock.now, took: clock.now - start) }
                return
            } catch  where error.recovery == .rereadKernel {
                // Below.
            }
        }
        // A failure makes the next scope everything, so no change is lost by it.
        record.isFull = true
        queue.removeAll()
        record.report = try await dataplane.commit(
            .everything(await store.allPlans()),
            node: update.facts
        )
    }

    /// Logs what is newly wrong with a Service, and keeps what its owner should hear.
    private func log(_ diagnostics: [Diagnostic], of name: ObjectName) {
        let known = Set(reported[name] ?? [])
        for diagnostic in diagnostics where !known.contains(diagnostic) {
            switch warnings.spend(name.namespace, at: .now) {
            case .tell: logger.warning("\(diagnostic)")
            case .tellAsLast:
                let rest =
                    "further warnings about namespace \"\(name.namespace)\" are left out for a minute;"
                    + " needletail explain \(name) has those of this Service"
                logger.warning("\(diagnostic) (\(rest))")
            case .leaveOut: break
            }
            // Events are few anyway; while syncs fail nobody takes them.
            if diagnostic.event != nil, news.count < Self.newsLimit {
                news.append((name, diagnostic))
            }
        }
        reported[name] = diagnostics.isEmpty ? nil : diagnostics
    }
}
