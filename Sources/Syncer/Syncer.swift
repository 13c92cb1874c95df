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
    private let logger: Logger

    private var policy = SyncPolicy()
    private var facts = NodeFacts()
    private var isFirst = true
    private var interfaceAddresses: [IPAddress]
    private var reported: [ObjectName: [Diagnostic]] = [:]
    private let doorbell: AsyncStream<Void>.Continuation
    private let rings: AsyncStream<Void>

    package init(
        store: ClusterStore,
        dataplane: any Dataplane,
        interfaceAddresses: [IPAddress],
        logger: Logger
    ) {
        self.store = store
        self.dataplane = dataplane
        self.interfaceAddresses = interfaceAddresses
        self.logger = logger
        (rings, doorbell) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Syncs whenever something rings, until the task is cancelled.
    package func run() async {
        for await _ in rings where await store.isComplete {
            do {
                try await syncAndReport()
            } catch {
                let delay = policy.onFailure()
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
    package func onClusterChange() { doorbell.yield() }

    package func onInterfaceAddresses(_ addresses: [IPAddress]) {
        guard interfaceAddresses != addresses else { return }
        interfaceAddresses = addresses
        doorbell.yield()
    }

    /// Another program touched what is ours.
    package func onForeignChange() {
        policy.onForeignChange()
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
                case .resync: onForeignChange()
                }
            } catch {
                logger.error("maintenance failed", metadata: ["error": "\(error)"])
                onForeignChange()
            }
            try? await Task.sleep(for: pause)
        }
    }

    private func syncAndReport() async throws(CommitError) {
        let isFull = policy.nextScope == .everything
        defer { isFirst = false }
        let report = try await sync()
        guard isFull || !report.isEmpty else { return }
        logger.log(
            level: isFull && (isFirst || !report.isEmpty) ? .info : .debug,
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
    package func sync() async throws(CommitError) -> CommitReport {
        let update = await store.compileChanges(interfaceAddresses: interfaceAddresses)
        for (name, diagnostics) in update.diagnostics { log(diagnostics, of: name) }
        let report = try await commit(update)
        facts = update.facts
        policy.onSuccess()
        return report
    }

    private func commit(_ update: PlanUpdate) async throws(CommitError) -> CommitReport {
        if policy.nextScope == .changes {
            guard !update.plans.isEmpty || update.facts != facts else { return CommitReport() }
            do throws(CommitError) {
                return try await dataplane.commit(.some(update.plans), node: update.facts)
            } catch  where error.recovery == .rereadKernel {
                policy.onForeignChange()
            }
        }
        // A failure makes the next scope everything, so no change is lost by it.
        return try await dataplane.commit(.everything(await store.allPlans()), node: update.facts)
    }

    /// Logs what is newly wrong with a Service.
    private func log(_ diagnostics: [Diagnostic], of name: ObjectName) {
        let known = reported[name] ?? []
        for diagnostic in diagnostics where !known.contains(diagnostic) {
            logger.warning("\(diagnostic)")
        }
        reported[name] = diagnostics.isEmpty ? nil : diagnostics
    }
}
