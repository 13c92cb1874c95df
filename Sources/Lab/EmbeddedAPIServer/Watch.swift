internal import Glibc

/// One watch, from its request to its end.
struct Watch {
    private let server: APIServer
    private let kind: ResourceKind
    private let filter: Filter
    private let encoding: AnswerEncoding
    private let fault: Fault?
    private let deadline: ContinuousClock.Instant
    private let hasBookmarks: Bool
    private let sendsInitialEvents: Bool
    /// The version to start from; nil to start with the present objects.
    private let start: Int64?

    init(
        _ server: APIServer,
        _ request: ServerRequest,
        _ route: Route,
        _ encoding: AnswerEncoding,
        _ fault: Fault?
    ) throws(APIStatus) {
        let query = request.query
        self.server = server
        (kind, self.encoding, self.fault) = (route.kind, encoding, fault)
        filter = try Filter(query, route)
        hasBookmarks = query["allowWatchBookmarks"] == "true"
        let seconds = query["timeoutSeconds"].flatMap { Int($0) } ?? 1800
        deadline = .now + .seconds(seconds)
        let wantsInitialEvents = query["sendInitialEvents"] == "true"
        if wantsInitialEvents {
            guard query["resourceVersionMatch"] == "NotOlderThan" else {
                throw .invalid("sendInitialEvents requires resourceVersionMatch NotOlderThan")
            }
            if server.configuration.watchList == .refused {
                throw .invalid("sendInitialEvents is forbidden unless WatchList is enabled")
            }
        }
        sendsInitialEvents = wantsInitialEvents && server.configuration.watchList == .served
        let version = try server.version(query) ?? 0
        start = wantsInitialEvents || version == 0 ? nil : version
        if wantsInitialEvents, version > server.store.version {
            throw .tooLarge(version, server.store.version)
        }
    }

    func serve(on connection: Connection) throws {
        let contentType =
            encoding.isProtobuf
            ? "\(AnswerEncoding.protobufType);stream=watch" : "application/json"
        try connection.sendHead(
            200,
            [("Content-Type", contentType), ("Transfer-Encoding", "chunked")]
        )
        let bell = Bell()
        server.store.addWaiter(ObjectIdentifier(bell)) { bell.ring() }
        defer { server.store.removeWaiter(ObjectIdentifier(bell)) }
        var sender = EventSender(connection, encoding, fault)
        do {
            try sender.strikeIfDue()
            try follow(bell, connection, &sender)
        } catch is CleanEnd {
            try connection.endChunks()
            throw ConnectionLost()
        } catch let status as APIStatus {
            try connection.sendChunk(encoding.event(status))
        }
        try connection.endChunks()
    }

    private func follow(
        _ bell: Bell,
        _ connection: Connection,
        _ sender: inout EventSender
    ) throws {
        var version = try sendInitial(&sender)
        var nextBookmark = ContinuousClock.now + server.configuration.bookmarkInterval
        while true {
            guard let (changes, current) = server.store.changes(kind, after: version) else {
                throw APIStatus.expired(version, server.store.version)
            }
            for change in changes { try send(change, &sender) }
            version = current
            let now = ContinuousClock.now
            guard now < deadline else { return }
            if hasBookmarks, now >= nextBookmark {
                try sender.bookmark(kind, version)
                nextBookmark = now + server.configuration.bookmarkInterval
            }
            let pause = min(deadline, hasBookmarks ? nextBookmark : deadline) - now
            let milliseconds = Int(pause / .milliseconds(1)) + 1
            guard connection.wait(for: bell.descriptor, milliseconds: milliseconds) else {
                throw ConnectionLost()
            }
        }
    }

    /// Sends the initial events, and returns the version from which changes follow.
    private func sendInitial(_ sender: inout EventSender) throws -> Int64 {
        if let start { return start }
        guard let (objects, version) = server.store.list(kind, filter) else { return 0 }
        for object in objects { try sender.send("ADDED", object) }
        if sendsInitialEvents { try sender.bookmark(kind, version, endsInitialEvents: true) }
        return version
    }

    /// Sends a change; an object that leaves the selector is sent as deleted, with its old content.
    private func send(_ change: ObjectStore.Change, _ sender: inout EventSender) throws {
        let was = change.before.map(filter.contains) ?? false
        let isNow = !change.isRemoval && filter.contains(change.object)
        switch (was, isNow) {
        case (false, true): try sender.send("ADDED", change.object)
        case (true, true): try sender.send("MODIFIED", change.object)
        case (true, false):
            guard let before = change.before else { return }
            let gone = try ObjectStore.Stored(
                kind,
                before.key,
                change.object.version,
                before.object
            )
            try sender.send("DELETED", gone)
        case (false, false): break
        }
    }
}

/// The error that ends a watch and its connection as they would end at their time limit.
private struct CleanEnd: Error {}

/// Sends events, and causes the fault after the set number of them.
private struct EventSender {
    private let connection: Connection
    private let encoding: AnswerEncoding
    private let fault: Fault?
    private var count = 0

    init(_ connection: Connection, _ encoding: AnswerEncoding, _ fault: Fault?) {
        (self.connection, self.encoding, self.fault) = (connection, encoding, fault)
    }

    mutating func send(_ type: String, _ object: ObjectStore.Stored) throws {
        try send(encoding.event(type, object))
    }

    mutating func bookmark(
        _ kind: ResourceKind,
        _ version: Int64,
        endsInitialEvents: Bool = false
    ) throws {
        try send(encoding.bookmark(kind, version, endsInitialEvents: endsInitialEvents))
    }

    private mutating func send(_ event: [UInt8]) throws {
        if isDue, fault?.kind == .truncate {
            try connection.sendChunk(Array(event[..<(event.count / 2)]))
            throw CleanEnd()
        }
        if fault?.kind == .slow {
            try connection.sendSlowly(event)
        } else {
            try connection.sendChunk(event)
        }
        count += 1
        try strikeIfDue()
    }

    private var isDue: Bool { fault.map { count == $0.afterEvents } ?? false }

    func strikeIfDue() throws {
        guard isDue, let fault else { return }
        switch fault.kind {
        case .drop: throw ConnectionLost()
        case .stall: try connection.stall()
        case .expire: throw APIStatus.expired(0, 0)
        case .garbage: try connection.sendChunk(encoding.garbage)
        case .end: throw CleanEnd()
        case .truncate, .slow, .refuse: break
        }
    }
}

/// Wakes a thread that waits in `poll`.
private final class Bell: Sendable {
    /// The descriptor on which the thread waits.
    let descriptor: Int32
    private let button: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        socketpair(AF_UNIX, Int32(type), 0, &ends)
        (descriptor, button) = (ends[0], ends[1])
    }

    deinit {
        close(descriptor)
        close(button)
    }

    /// Wakes the thread; if the bell is already ringing, nothing more is needed.
    func ring() { _ = Glibc.send(button, [1] as [UInt8], 1, Int32(MSG_NOSIGNAL)) }
}
