package import KubernetesModel
package import KubernetesWire

/// One event of a watch.
package struct WatchEvent<Object: Resource>: Sendable {
    package enum Payload: Sendable {
        case set(Object)
        case removed(ObjectName)
        /// A resource version up to which nothing else has changed.
        ///
        /// A special bookmark ends the initial events of a streaming list.
        case bookmark(endsInitialEvents: Bool)
        case error(ServerStatus)
        case unreadable(UnreadableObject)
    }

    package private(set) var payload: Payload
    /// The resource version of the event; empty for an error.
    package let resourceVersion: String
}

/// The API server's description of a failure (`meta/v1.Status`).
package struct ServerStatus: Sendable, Hashable {
    package let code: Int
    package let message: String
    /// The time to wait before the next request; zero if the server does not say.
    package let retryAfter: Duration

    /// The longest pause that is accepted from any server.
    private static let longestPause = Duration.seconds(120)

    init(code: Int, message: String, retryAfter: Duration) {
        (self.code, self.message) = (code, message)
        self.retryAfter = min(max(retryAfter, .zero), Self.longestPause)
    }
}

/// Reads a watch as it arrives, and keeps the bytes of at most one event.
package struct WatchDecoder<Object: Resource>: Sendable {
    private let encoding: WireEncoding
    private var splitter: any WatchSplitter
    private var pool = SharingPool()

    package init(_ encoding: WireEncoding) {
        self.encoding = encoding
        splitter = encoding == .json ? LineSplitter() : LengthSplitter()
    }

    package mutating func append(_ bytes: [UInt8]) { splitter.append(bytes) }

    /// Returns the next complete event; nil if more bytes are needed.
    package mutating func next() throws(WireError) -> WatchEvent<Object>? {
        guard let bytes = try splitter.next() else { return nil }
        var event = try event(bytes)
        event.share(&pool)
        return event
    }

    /// Returns the last event after the body has ended; the last line of JSON may lack its line
    /// end.
    package mutating func finish() throws(WireError) -> WatchEvent<Object>? {
        guard let rest = splitter.rest() else { return nil }
        let truncated = WireError("the stream ends in the middle of an event")
        guard encoding == .json else { throw truncated }
        do throws(WireError) {
            return try event(rest)
        } catch {
            throw truncated
        }
    }

    private func event(_ bytes: [UInt8]) throws(WireError) -> WatchEvent<Object> {
        let (type, object) = try frame(bytes)
        switch type {
        case "ERROR":
            let status: WireStatus = try encoding.message(from: content(object, "Status"))
            return WatchEvent(payload: .error(ServerStatus(status)), resourceVersion: "")
        case "BOOKMARK":
            let any: WireAnyObject = try encoding.message(from: content(object, Object.kind))
            return WatchEvent(bookmark: any.metadata)
        case "ADDED", "MODIFIED":
            let object = ReadObject<Object>(try content(object, Object.kind), encoding)
            // If neither the name nor the namespace can be read, the line was damaged in transit.
            if encoding == .json, case .failure(let unreadable) = object.content,
                unreadable.name == nil, unreadable.namespace == nil
            {
                throw WireError(unreadable.reason)
            }
            return WatchEvent(set: object)
        case "DELETED":
            return try WatchEvent(
                removed: ReadObject(try content(object, Object.kind), encoding)
            )
        default: throw WireError("an event of the unknown type \"\(type)\"")
        }
    }

    /// Returns the type of an event, and its object as it was sent.
    private func frame(_ bytes: [UInt8]) throws(WireError) -> (type: String, object: [UInt8]) {
        switch encoding {
        case .json:
            let members = try JSONMembers(bytes)
            guard let type = members["type"], let object = members["object"] else {
                throw WireError("an event without a type or an object")
            }
            return (try WireEncoding.fromJSON(String.self, type), object)
        case .protobuf:
            let frame: WireWatchEvent = try WireEncoding.fromProtobuf(bytes)
            return (frame.type.text, Array(frame.object.raw))
        }
    }

    private func content(_ object: [UInt8], _ kind: String) throws(WireError) -> [UInt8] {
        encoding == .json ? object : try WireEncoding.content(ofEnvelope: object, kind: kind)
    }
}

extension WatchEvent {
    fileprivate mutating func share(_ pool: inout SharingPool) {
        guard case .set(var object) = payload else { return }
        object.share(&pool)
        payload = .set(object)
    }

    fileprivate init(set object: ReadObject<Object>) {
        let payload: Payload =
            switch object.content {
            case .success(let object): .set(object)
            case .failure(let unreadable): .unreadable(unreadable)
            }
        self.init(payload: payload, resourceVersion: object.resourceVersion)
    }

    /// Makes the event for a deleted object, of which only the name matters.
    fileprivate init(removed object: ReadObject<Object>) throws(WireError) {
        let name: ObjectName
        switch object.content {
        case .success(let object): name = object.objectName
        case .failure(let unreadable):
            guard let known = unreadable.objectName else {
                throw WireError("an object was deleted that cannot be told: \(unreadable)")
            }
            name = known
        }
        self.init(payload: .removed(name), resourceVersion: object.resourceVersion)
    }

    fileprivate init(bookmark metadata: WireObjectMeta) {
        self.init(
            payload: .bookmark(
                endsInitialEvents: metadata.annotation("k8s.io/initial-events-end")?.text == "true"
            ),
            resourceVersion: metadata.resourceVersion.exactText ?? ""
        )
    }
}

extension ServerStatus {
    init(_ wire: WireStatus) {
        self.init(
            code: Int(wire.code),
            message: wire.message.text,
            retryAfter: .seconds(Int(wire.details.retryAfterSeconds))
        )
    }
}
