internal import Netlink
internal import NetworkTypes

/// What has been seen of connections that are not gone yet.
struct ConnectionHistory {
    private struct Key: Hashable {
        let id: UInt32
        let client: AddressAndPort
        let frontend: FrontendKey
    }

    fileprivate struct Entry {
        /// Nil: before the watch.
        var began: ContinuousClock.Instant?
        var isAssured = false
        var closed: ContinuousClock.Instant?
    }

    private var entries: [Key: Entry] = [:]
    /// When it is full everything is forgotten, since ends may have been lost; how long the
    /// connections last that are open then is unknown.
    private let limit: Int

    init(limit: Int = 1 << 17) { self.limit = limit }

    var count: Int { entries.count }

    /// What an event adds to what is known.
    struct Finding: Equatable {
        /// Whether the same has been reported before.
        var isRepeated = false
        /// Whether its beginning was seen, for one that is gone.
        var wasOpen = false
        /// From the first packet to the end, if both were seen.
        var lasted: Duration?
    }

    mutating func add(
        _ event: ConnectionEvent,
        at now: ContinuousClock.Instant
    ) -> Finding {
        let connection = event.connection
        let key = Key(
            id: event.id,
            client: AddressAndPort(connection.clientAddress, connection.clientPort),
            frontend: connection.frontend
        )
        if event.change == .destroyed {
            let entry = entries.removeValue(forKey: key)
            let kernels = event.lifetime.map { Duration.nanoseconds(Int64(clamping: $0)) }
            return Finding(
                wasOpen: entry?.began != nil,
                lasted: entry?.lasted(until: now) ?? kernels
            )
        }
        if entries[key] == nil, entries.count >= limit { entries = [:] }
        var entry = entries[key] ?? Entry()
        defer { entries[key] = entry }
        switch event.change {
        case .new:
            entry = Entry(began: now)
            return Finding()
        case .assured:
            defer { entry.isAssured = true }
            return Finding(isRepeated: entry.isAssured)
        case .closed:
            let isRepeated = entry.closed != nil
            entry.closed = entry.closed ?? now
            return Finding(isRepeated: isRepeated, lasted: entry.lasted(until: now))
        case .destroyed: return Finding()
        }
    }
}

extension ConnectionHistory.Entry {
    fileprivate func lasted(until now: ContinuousClock.Instant) -> Duration? {
        began.map { (closed ?? now) - $0 }
    }
}
