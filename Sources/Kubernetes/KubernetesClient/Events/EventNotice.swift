internal import FoundationEssentials
internal import NetworkTypes

/// A notice that the owner of an object should see as an event.
package struct EventNotice: Sendable, Hashable {
    package enum Severity: String, Sendable, Codable {
        case normal = "Normal"
        case warning = "Warning"
    }

    package var severity: Severity
    /// The reason in one word, such as `Starting`.
    package var reason: String
    /// The action that was taken or failed, in one word, such as `StartKubeProxy`.
    package var action: String
    package var regarding: ObjectReference
    /// The text for people; notices that differ only in it count as the same.
    package var note: String

    package init(
        _ severity: Severity,
        reason: String,
        action: String,
        regarding: ObjectReference,
        note: String = ""
    ) {
        (self.severity, self.reason, self.action) = (severity, reason, action)
        (self.regarding, self.note) = (regarding, note)
    }
}

/// The object that an event is about.
package struct ObjectReference: Sendable, Hashable, Encodable {
    package var apiVersion: String
    package var kind: String
    /// The namespace; empty for cluster-scoped objects.
    package var namespace: String
    package var name: String
    package var uid: String

    package init(
        apiVersion: String = "v1",
        kind: String,
        namespace: String = "",
        name: String,
        uid: String = ""
    ) {
        (self.apiVersion, self.kind) = (apiVersion, kind)
        (self.namespace, self.name, self.uid) = (namespace, name, uid)
    }

    /// Refers to a Node by name.
    ///
    /// The name serves as UID, as in the events of kubelet and kube-proxy; `kubectl describe node`
    /// looks for events in this way.
    package static func node(_ name: String) -> ObjectReference {
        ObjectReference(kind: "Node", name: name, uid: name)
    }
}

/// An Event of events.k8s.io/v1, of which only `series` may change after its creation.
struct EventObject: Sendable, Hashable, Encodable {
    struct Metadata: Sendable, Hashable, Encodable {
        var name: String
        var namespace: String
    }

    /// The repetitions of an event; the API requires a `count` of at least 2.
    struct Series: Sendable, Hashable, Encodable {
        var count: Int
        var lastObservedTime: String
    }

    let apiVersion = "events.k8s.io/v1"
    let kind = "Event"
    var metadata: Metadata
    var eventTime: String
    var reportingController: String
    var reportingInstance: String
    var action: String
    var reason: String
    var regarding: ObjectReference
    var note: String
    var type: EventNotice.Severity
    var series: Series?

    /// Makes the object for a notice.
    ///
    /// - Parameter time: when the notice was first seen, in seconds since 1970
    init(_ notice: EventNotice, reporter: EventReporter, time: Double) {
        // Events about cluster-scoped objects live in "default". The name has client-go's form.
        metadata = Metadata(
            name:
                "\(notice.regarding.name).\(String(UInt64(time * 1e6) * 1000, radix: 16))",
            namespace: notice.regarding.namespace.isEmpty ? "default" : notice.regarding.namespace
        )
        eventTime = Self.microTime(time)
        reportingController = reporter.controller
        reportingInstance = reporter.instance
        (action, reason, type) = (notice.action, notice.reason, notice.severity)
        regarding = notice.regarding
        note = Self.cut(notice.note.printable, to: 1024)
    }

    var collection: String {
        "/apis/events.k8s.io/v1/namespaces/\(metadata.namespace)/events"
    }

    /// Formats a time as Kubernetes' MicroTime.
    static func microTime(_ time: Double) -> String {
        let whole = Date(timeIntervalSince1970: time.rounded(.down)).formatted(.iso8601)
        let micros = String(Int((time - time.rounded(.down)) * 1e6))
        return "\(whole.dropLast()).\(String(repeating: "0", count: 6 - micros.count))\(micros)Z"
    }

    /// Shortens text to a number of bytes of UTF-8, which is how the API counts.
    private static func cut(_ text: String, to limit: Int) -> String {
        guard text.utf8.count > limit else { return text }
        var result = text
        while result.utf8.count > limit - 3 { result.removeLast() }
        return result + "…"
    }
}

/// The sender of events.
package struct EventReporter: Sendable, Hashable {
    /// The name under which users look for the events: that of kube-proxy.
    let controller = "kube-proxy"
    package let instance: String

    /// Makes a sender.
    ///
    /// - Parameter instance: the node's name
    package init(instance: String) { self.instance = instance }
}
