internal import KubernetesClient
internal import KubernetesModel
internal import PlanCompiler

/// An event about this node.
struct NodeEvent: Sendable {
    let severity: EventNotice.Severity
    let reason: String
    let action: String
    let note: String

    init(_ severity: EventNotice.Severity, _ reason: String, _ action: String, _ note: String) {
        (self.severity, self.reason, self.action, self.note) = (severity, reason, action, note)
    }
}

typealias NodeNews = @Sendable (NodeEvent) -> Void

extension EventRecorder {
    func record(_ event: NodeEvent, node: String) {
        record(
            EventNotice(
                event.severity,
                reason: event.reason,
                action: event.action,
                regarding: .node(node),
                note: event.note
            )
        )
    }

    func record(_ diagnostic: Diagnostic, of service: ObjectName, _ uid: ObjectUID?) {
        guard let event = diagnostic.event else { return }
        record(event.rawValue, "Program", service: service, uid: uid, "\(diagnostic.problem)")
    }

    /// Records a warning about a Service.
    ///
    /// - Parameter uid: `kubectl describe` shows only events that have it; nil if it is not known
    func record(
        _ reason: String,
        _ action: String,
        service: ObjectName,
        uid: ObjectUID? = nil,
        _ note: String
    ) {
        record(
            EventNotice(
                .warning,
                reason: reason,
                action: action,
                regarding: ObjectReference(
                    kind: "Service",
                    namespace: service.namespace,
                    name: service.name,
                    uid: uid?.description ?? ""
                ),
                note: note
            )
        )
    }
}
