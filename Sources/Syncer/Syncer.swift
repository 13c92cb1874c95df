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

    private var policy = SyncPolicy()
    private var facts = NodeFacts()
    private var isFirst = true
    /// Not before this moment, and for what.
    private var repair: (notBefore: ContinuousClock.Instant, object: ForeignObject)?
    private var healthChecks: [String: HealthCheck?] = [:]
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
        logger: Logger
    ) {
        self.store = store
        self.dataplane = dataplane
        self.interfaceAddresses = interfaceAddresses
        self.observer = observer
        self.logger = logger
        (rings, doorbell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Syncs whenever something rings, until the task is cancelled.
    package func run() async {
        for await _ in rings where await store.isComplete {
            if let repair {
                try? await Task.sleep(until: repair.notBefore, clock: .continuous)
            }
            do {
                try await syncAndReport()
            } catch {
                let delay = policy.onFailure()
                observer.failed(error, retryAfter: delay)
                logger.error(
                    "sync failed; what was programmed stays",
                    metadata: ["error": "\(error)", "retry": "\(delay)"]
                )
                try? await Task.sleep(for: delay)
                doorbell.yield()
            }
        }
    }

    /// Something in the store changed.
    package func onClusterChange() {
        observer.changesQueued()
        doorbell.yield()
    }

    package func onInterfaceAddresses(_ addresses: [IPAddress]) {
        guard interfaceAddresses != addresses else { return }
        interfaceAddresses = addresses
        onClusterChange()
    }

    /// Another program touched what is ours.
    package func onForeignChange(_ object: ForeignObject) {
        let delay = policy.onForeignChange(at: .now)
        // What happens until the repair is part of the same.
        if repair == nil {
            repair = (.now + delay, object)
            observer.foreignChange(object, repairAfter: delay)
        }
        doorbell.yield()
    }

    /// Compares everything with the kernel, without suspicion.
    package func onReread() {
        policy.onReread()
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
            try? await Task.sleep(for: pause)
        }
    }

    private func syncAndReport() async throws(CommitError) {
        defer { isFirst = false }
        let record = try await sync()
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
    package func sync() async throws(CommitError) -> SyncRecord {
        var record = SyncRecord()
        let start = ContinuousClock.now
        let update = await store.compileChanges(interfaceAddresses: interfaceAddresses)
        (record.pending, record.waited) = (update.pending, update.waited)
        record.nodePortAddresses = update.nodePortAddresses
        for (name, diagnostics) in update.diagnostics { log(diagnostics, of: name) }
        for (service, plan) in update.plans {
            healthChecks.updateValue(plan?.healthCheck, forKey: service)
        }
        let compiled = ContinuousClock.now
        record.compiling = compiled - start
        try await commit(update, &record)
        let end = ContinuousClock.now
        record.committing = end - compiled
        policy.onSuccess()
        if isReread, repair == nil, update.plans.isEmpty, update.facts == facts,
            record.report.serversChanged > 0
        {
            // IPVS notifies nobody.
            repair = (end, .servers)
            observer.foreignChange(.servers, repairAfter: .zero)
        }
        isReread = false
        if record.isFull, repair != nil {
            record.isRepair = true
            policy.onRepair(at: end, took: end - start)
            repair = nil
        }
        facts = update.facts
        record.healthChecks = healthChecks
        (record.news, news) = (news, [])
        healthChecks = [:]
        observer.synced(record)
        return record
    }

    private func commit(
        _ update: PlanUpdate,
        _ record: inout SyncRecord
    ) async throws(CommitError) {
        if policy.nextScope == .changes {
            guard !update.plans.isEmpty || update.facts != facts else { return }
            do throws(CommitError) {
                record.report = try await dataplane.commit(
                    .some(update.plans),
                    node: update.facts
                )
                return
            } catch  where error.recovery == .rereadKernel {
                policy.onReread()
            }
        }
        // A failure makes the next scope everything, so no change is lost by it.
        record.isFull = true
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
