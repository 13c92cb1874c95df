internal import KubernetesModel
package import KubernetesWire

/// One event of a watch.
package struct WatchEvent<Object: Resource>: Sendable {
    package enum Payload: Sendable {
        case set(Object)
        case removed(Object)
        /// Nothing changed up to here.
        ///
        /// The one that ends the initial events of a streaming list says so.
        case bookmark(endsInitialEvents: Bool)
        case error(ServerStatus)
        case unreadable(UnreadableObject)
    }

    package private(set) var payload: Payload
    /// Empty for an error.
    package let resourceVersion: String
}

/// What the API server says about a failure (`meta/v1.Status`).
package struct ServerStatus: Sendable, Hashable {
    package var code: Int
    package var message: String
    /// When to ask again; zero if it does not say.
    package var retryAfter: Duration
}

/// Reads a watch as it arrives; the bytes of one event are kept at most.
package struct WatchDecoder<Object: Resource>: Sendable {
    private let encoding: WireEncoding
    private var splitter: any WatchSplitter
    private var strings = StringPool()

    package init(_ encoding: WireEncoding) {
        self.encoding = encoding
        splitter = encoding == .json ? LineSplitter() : LengthSplitter()
    }

    package mutating func append(_ bytes: [UInt8]) { splitter.append(bytes) }

    /// The next event that has arrived whole.
    package mutating func next() throws(WireError) -> WatchEvent<Object>? {
        guard let bytes = try splitter.next() else { return nil }
        var event = try event(bytes)
        event.shareStrings(&strings)
        return event
    }

    /// The last event, at the end of the body: a line of JSON may lack its end.
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
        switch encoding {
        case .json: try WireEncoding.fromJSON(JSONEvent<Object>.self, bytes).event
        case .protobuf: try protobufEvent(bytes)
        }
    }

    private func protobufEvent(_ bytes: [UInt8]) throws(WireError) -> WatchEvent<Object> {
        let frame: WireWatchEvent = try WireEncoding.fromProtobuf(bytes)
        let raw = Array(frame.object.raw)
        switch frame.type {
        case "ERROR":
            let status: WireStatus = try WireEncoding.fromEnvelope(kind: "Status", raw)
            return WatchEvent(payload: .error(ServerStatus(status)), resourceVersion: "")
        case "BOOKMARK":
            let object: WireAnyObject = try WireEncoding.fromEnvelope(kind: Object.kind, raw)
            return WatchEvent(bookmark: object.metadata)
        case "ADDED", "MODIFIED", "DELETED":
            let wire: Object.Wire = try WireEncoding.fromEnvelope(kind: Object.kind, raw)
            return WatchEvent(wire, isRemoval: frame.type == "DELETED")
        default: throw WireError("an event of the unknown type \"\(frame.type)\"")
        }
    }
}

/// An event as a line of JSON.
private struct JSONEvent<Object: Resource>: Decodable {
    let event: WatchEvent<Object>

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Field.self)
        let type = try container.decode(String.self, forKey: "type")
        func object<T: JSONReadable>(_: T.Type) throws -> T {
            try container.decode(FromJSON<T>.self, forKey: "object").message
        }
        switch type {
        case "ERROR":
            let status = ServerStatus(try object(WireStatus.self))
            event = WatchEvent(payload: .error(status), resourceVersion: "")
        case "BOOKMARK": event = WatchEvent(bookmark: try object(WireAnyObject.self).metadata)
        case "ADDED", "MODIFIED", "DELETED":
            do {
                event = WatchEvent(try object(Object.Wire.self), isRemoval: type == "DELETED")
            } catch let error as DecodingError {
                let metadata = try object(WireAnyObject.self).metadata
                event = WatchEvent(metadata, unreadable: "\(error.fieldProblem)")
            }
        default:
            throw DecodingError.dataCorruptedError(
                forKey: "type",
                in: container,
                debugDescription: "an event of the unknown type \"\(type)\""
            )
        }
    }
}

extension WatchEvent {
    fileprivate mutating func shareStrings(_ pool: inout StringPool) {
        guard case .set(var object) = payload else { return }
        object.shareStrings(&pool)
        payload = .set(object)
    }

    fileprivate init(_ wire: Object.Wire, isRemoval: Bool) {
        do {
            let object = try Object(wire)
            self.init(
                payload: isRemoval ? .removed(object) : .set(object),
                resourceVersion: wire.metadata.resourceVersion
            )
        } catch {
            self.init(wire.metadata, unreadable: "\(error)")
        }
    }

    fileprivate init(_ metadata: WireObjectMeta, unreadable reason: String) {
        self.init(
            payload: .unreadable(ObjectError(metadata, reason: reason).object),
            resourceVersion: metadata.resourceVersion
        )
    }

    fileprivate init(bookmark metadata: WireObjectMeta) {
        self.init(
            payload: .bookmark(
                endsInitialEvents: metadata.annotation("k8s.io/initial-events-end") == "true"
            ),
            resourceVersion: metadata.resourceVersion
        )
    }
}

extension ServerStatus {
    init(_ wire: WireStatus) {
        code = Int(wire.code)
        message = wire.message
        retryAfter = .seconds(Int(wire.details.retryAfterSeconds))
    }
}
