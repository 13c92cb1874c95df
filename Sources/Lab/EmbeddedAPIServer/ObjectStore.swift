internal import FoundationEssentials
internal import Synchronization

/// Every version of every object since the last compaction, as etcd keeps them for an API server.
final class ObjectStore: Sendable {
    /// An object at one version.
    final class Stored: Sendable {
        let kind: ResourceKind
        let key: String
        let version: Int64
        let object: JSONValue
        let name: String
        let namespace: String
        /// `spec.clusterIP`, which field selectors ask for.
        let clusterIP: String?
        let labels: [String: String]
        /// The object as the API sends it.
        let content: Content
        /// The same without `metadata.managedFields`; nil if it has none.
        let unmanaged: Content?

        init(
            _ kind: ResourceKind,
            _ key: String,
            _ version: Int64,
            _ source: JSONValue
        ) throws(APIStatus) {
            var object = source
            object["metadata"]["resourceVersion"] = .string("\(version)")
            let metadata = object["metadata"]
            name = metadata["name"].string ?? ""
            namespace = metadata["namespace"].string ?? ""
            clusterIP = object["spec"]["clusterIP"].string
            labels = (metadata["labels"].members ?? [:]).compactMapValues(\.string)
            do {
                let whole = try Content(object, kind)
                if let entries = metadata["managedFields"].array {
                    var bare = object
                    bare["metadata"]["managedFields"] = .null
                    unmanaged = try Content(bare, kind)
                    let fields = try ManagedFields.protobuf(entries)
                    content = Content(
                        json: whole.json,
                        protobuf: whole.protobuf.map { $0 + fields }
                    )
                } else {
                    (content, unmanaged) = (whole, nil)
                }
            } catch {
                throw .badRequest("\(kind.kind) \(key) cannot be stored: \(error)")
            }
            (self.kind, self.key, self.version, self.object) = (kind, key, version, object)
        }
    }

    /// An object in the encodings of the API; not every kind has protobuf.
    struct Content: Sendable {
        let json: [UInt8]
        let protobuf: [UInt8]?

        init(json: [UInt8], protobuf: [UInt8]?) { (self.json, self.protobuf) = (json, protobuf) }

        init(_ object: JSONValue, _ kind: ResourceKind) throws {
            json = try Array(JSONEncoder.api.encode(object))
            protobuf = try kind.encoding?.bytes(json: json)
        }
    }

    /// A change of one object.
    struct Change: Sendable {
        let before: Stored?
        /// The object with the version of the change; a deleted object has its last content.
        let object: Stored
        let isRemoval: Bool
    }

    private struct State {
        var version: Int64 = 1
        /// The version before which watches are too old.
        var compacted: Int64 = 0
        /// The last version that watches see; nil: the present one.
        var held: Int64?
        var objects: [ResourceKind: [String: Stored]] = [:]
        /// The changes in the order of their versions.
        var changes: [Change] = []
        var waiters: [ObjectIdentifier: @Sendable () -> Void] = [:]
    }

    private let state = Mutex(State())

    var version: Int64 { state.withLock(\.version) }

    /// Returns an object; nil if it does not exist.
    func get(_ kind: ResourceKind, _ key: String) -> Stored? {
        state.withLock { $0.objects[kind]?[key] }
    }

    /// Returns the objects of a kind at a version that the filter wants, sorted by key; nil if that
    /// version is forgotten.
    func list(
        _ kind: ResourceKind,
        at version: Int64? = nil,
        _ filter: Filter = Filter()
    ) -> (objects: [Stored], version: Int64)? {
        let found = state.withLock { state -> (objects: [String: Stored], version: Int64)? in
            var objects = state.objects[kind] ?? [:]
            let wanted = version ?? state.version
            guard wanted >= state.compacted else { return nil }
            for change in state.changes.reversed() where change.object.version > wanted {
                guard change.object.kind == kind else { continue }
                objects[change.object.key] = change.before
            }
            return (objects, wanted)
        }
        return found.map { found in
            (found.objects.values.filter(filter.contains).sorted { $0.key < $1.key }, found.version)
        }
    }

    /// Returns the changes of a kind after a version; nil if they are forgotten.
    func changes(_ kind: ResourceKind, after version: Int64) -> (list: [Change], upTo: Int64)? {
        state.withLock { state -> (list: [Change], upTo: Int64)? in
            guard version >= state.compacted else { return nil }
            // The version grows by one with each change.
            let known = state.version - Int64(state.changes.count)
            let last = max(version, state.held ?? state.version)
            let fresh = state.changes.dropFirst(Int(max(0, version - known)))
                .prefix { $0.object.version <= last }
            return (fresh.filter { $0.object.kind == kind }, last)
        }
    }

    /// Changes one object and gives it a new version, unless the closure throws.
    ///
    /// - Parameter body: gets the present object and the new version; returns nil to delete the
    ///   object
    @discardableResult
    func update(
        _ kind: ResourceKind,
        _ key: String,
        _ body: (Stored?, Int64) throws(APIStatus) -> JSONValue?
    ) throws(APIStatus) -> Stored {
        let (stored, waiters) = try state.withLock {
            state throws(APIStatus) -> (Stored, [@Sendable () -> Void]) in
            let before = state.objects[kind]?[key]
            let version = state.version + 1
            let changed = try body(before, version)
            if let changed, let before, changed.ignoringVersion == before.object.ignoringVersion {
                return (before, [])
            }
            // The event for a deleted object has the version of the deletion.
            guard let source = changed ?? before?.object else { throw .notFound(kind, key) }
            let stored = try Stored(kind, key, version, source)
            state.version = version
            let isRemoval = changed == nil
            state.objects[kind, default: [:]][key] = isRemoval ? nil : stored
            state.changes.append(Change(before: before, object: stored, isRemoval: isRemoval))
            return (stored, state.held == nil ? Array(state.waiters.values) : [])
        }
        for waiter in waiters { waiter() }
        return stored
    }

    /// Forgets all versions but the last.
    func compact() {
        let waiters = state.withLock { state in
            state.compacted = state.version
            state.changes = []
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter() }
    }

    /// Keeps changes from watches until `release`.
    func hold() { state.withLock { $0.held = $0.version } }

    func release() {
        let waiters = state.withLock { state in
            state.held = nil
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter() }
    }

    /// Calls the closure after every change until it is removed; calls may come from any thread.
    func addWaiter(_ id: ObjectIdentifier, _ body: @escaping @Sendable () -> Void) {
        state.withLock { $0.waiters[id] = body }
    }

    func removeWaiter(_ id: ObjectIdentifier) { state.withLock { $0.waiters[id] = nil } }
}

extension JSONValue {
    fileprivate var ignoringVersion: JSONValue {
        var copy = self
        copy["metadata"]["resourceVersion"] = .null
        return copy
    }
}

extension JSONEncoder {
    static var api: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }
}
