internal import FoundationEssentials
internal import NetworkTypes

/// Something that the owner of an object should hear of.
package struct EventNotice: Sendable, Hashable {
    package enum Severity: String, Sendable, Codable {
        case normal = "Normal"
        case warning = "Warning"
    }

    package var severity: Severity
    /// Why, as a word: `Starting`.
    package var reason: String
    /// What was done or failed, as a word: `StartKubeProxy`.
    package var action: String
    package var regarding: ObjectReference
    /// For people; not part of what makes two notices the same.
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
    /// Empty for objects of the cluster.
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

    /// A Node by its name, which stands for its UID as in the events of kubelet and kube-proxy:
    /// `kubectl describe node` looks for them so.
    package static func node(_ name: String) -> ObjectReference {
        ObjectReference(kind: "Node", name: name, uid: name)
    }
}

/// An object of events.k8s.io/v1, of which only `series` may change once it exists.
struct EventObject: Sendable, Hashable, Encodable {
    struct Metadata: Sendable, Hashable, Encodable {
        var name: String
        var namespace: String
    }

    /// `count` is 2 at least, says the API.
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

    /// - Parameter time: when it was first seen, in seconds since 1970
    init(_ notice: EventNotice, reporter: EventReporter, time: Double) {
        // Events of cluster objects live in "default". The name is client-go's form.
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

    /// Kubernetes' MicroTime.
    static func microTime(_ time: Double) -> String {
        let whole = Date(timeIntervalSince1970: time.rounded(.down)).formatted(.iso8601)
        let micros = String(Int((time - time.rounded(.down)) * 1e6))
        return "\(whole.dropLast()).\(String(repeating: "0", count: 6 - micros.count))\(micros)Z"
    }

    /// The API counts bytes.
    private static func cut(_ text: String, to limit: Int) -> String {
        guard text.utf8.count > limit else { return text }
        var result = text
        while result.utf8.count > limit - 3 { result.removeLast() }
        return result + "…"
    }
}

/// Who tells.
package struct EventReporter: Sendable, Hashable {
    /// kube-proxy's name, by which its events are looked for.
    let controller = "kube-proxy"
    package let instance: String

    /// - Parameter instance: the node's name
    package init(instance: String) { self.instance = instance }
}
