internal import KubernetesModel
internal import Logging
internal import PlanCompiler
internal import ServicePlan

/// What the observer must learn about the Services that changed since the last successful sync.
struct SyncNews {
    private var healthChecks: [String: HealthCheck?] = [:]
    private var forwardedPorts: [String: [ForwardedPort]] = [:]
    private var diagnostics: [(service: ObjectName, uid: ObjectUID?, diagnostic: Diagnostic)] = []
    /// The largest number of diagnostics to keep: while syncs fail, nothing takes them out.
    private static let limit = 1000

    mutating func add(_ change: PlanChange) {
        healthChecks.updateValue(change.new?.healthCheck, forKey: change.service)
        forwardedPorts[change.service] = change.new?.forwardedPorts ?? []
    }

    /// Adds the diagnostics that become events for the owner of the Service.
    mutating func add(_ found: [Diagnostic], of service: ObjectName, _ uid: ObjectUID?) {
        for diagnostic in found where diagnostic.event != nil && diagnostics.count < Self.limit {
            diagnostics.append((service, uid, diagnostic))
        }
    }

    mutating func move(to record: inout SyncRecord) {
        record.healthChecks = healthChecks
        record.forwardedPorts = forwardedPorts
        record.news = diagnostics
        self = SyncNews()
    }
}

/// Logs problems with objects, each problem once.
struct DiagnosticLog {
    private var reported: [ObjectName: [Diagnostic]] = [:]
    private var budget: WarningBudget

    init(_ budget: WarningBudget) { self.budget = budget }

    /// Logs the new problems of a Service and returns them.
    mutating func take(
        _ diagnostics: [Diagnostic],
        of name: ObjectName,
        _ logger: Logger
    ) -> [Diagnostic] {
        let known = Set(reported[name] ?? [])
        let new = diagnostics.filter { !known.contains($0) }
        for diagnostic in new {
            switch budget.spend(name.namespace, at: .now) {
            case .tell: logger.warning("\(diagnostic)")
            case .tellAsLast:
                let rest =
                    "further warnings about namespace \"\(name.namespace)\" are left out for a minute;"
                    + " needletail explain \(name) shows those of this Service"
                logger.warning("\(diagnostic) (\(rest))")
            case .leaveOut: break
            }
        }
        reported[name] = diagnostics.isEmpty ? nil : diagnostics
        return new
    }
}
