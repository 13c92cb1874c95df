/// Combines many notices into few events; it makes decisions only, and sends nothing.
///
/// The first notice creates an object. Later notices that differ from it only in their note form a
/// series. A series is sent at its second notice, every half hour, and when it has ended
/// (client-go's `tools/events/event_broadcaster.go`). The number of new objects is limited for each
/// regarded object and in total.
///
/// Callers pass two times. All decisions use `now`, in seconds of a monotonic clock; events show
/// `time`, in seconds since 1970. The wall clock may be set back or forward, and that must neither
/// stop events nor cause a flood of them.
struct EventAggregator {
    enum Write: Sendable, Hashable {
        case create(EventObject)
        /// An update of the series of an object that exists.
        case update(EventObject)

        var object: EventObject {
            switch self {
            case .create(let object), .update(let object): object
            }
        }
    }

    private struct Key: Hashable {
        let notice: EventNotice

        init(_ notice: EventNotice) {
            var notice = notice
            notice.note = ""
            self.notice = notice
        }
    }

    private struct Entry {
        var object: EventObject
        var count = 1
        var lastSeen: Double
        /// The time of the last notice by the wall clock, in seconds since 1970.
        var lastSeenTime: Double
        var lastWritten: Double
        var isTold = true
    }

    /// The time in seconds after which a series without a new notice has ended.
    static let silenceThatEnds = 360.0
    static let refresh = 1800.0
    static let entryLimit = 1024

    private let reporter: EventReporter
    private var entries: [Key: Entry] = [:]
    private var budgets: [ObjectReference: TokenBucket] = [:]
    private var budget = TokenBucket(burst: 50, interval: 1, full: 0)
    /// The number of notices that led to no event because of the limits.
    private(set) var suppressed = 0

    init(_ reporter: EventReporter) { self.reporter = reporter }

    mutating func add(_ notice: EventNotice, now: Double, time: Double) -> Write? {
        let key = Key(notice)
        if entries[key] != nil { return count(key, now, time) }
        var own =
            budgets[notice.regarding] ?? TokenBucket(burst: 25, interval: 300, full: now)
        guard entries.count < Self.entryLimit, own.peek(now), budget.take(now) else {
            suppressed += 1
            return nil
        }
        _ = own.take(now)
        budgets[notice.regarding] = own
        let object = EventObject(notice, reporter: reporter, time: time)
        entries[key] = Entry(
            object: object,
            lastSeen: now,
            lastSeenTime: time,
            lastWritten: now
        )
        return .create(object)
    }

    private mutating func count(_ key: Key, _ now: Double, _ time: Double) -> Write? {
        entries[key]?.count += 1
        entries[key]?.lastSeen = now
        entries[key]?.lastSeenTime = time
        entries[key]?.isTold = false
        return entries[key]?.count == 2 ? tell(key, now) : nil
    }

    private mutating func tell(_ key: Key, _ now: Double) -> Write? {
        guard var entry = entries[key] else { return nil }
        entry.object.series = EventObject.Series(
            count: entry.count,
            lastObservedTime: EventObject.microTime(entry.lastSeenTime)
        )
        entry.lastWritten = now
        entry.isTold = true
        entries[key] = entry
        return .update(entry.object)
    }

    /// Returns the writes that are due because time has passed; to be called about once a minute.
    mutating func tick(now: Double) -> [Write] {
        var writes: [Write] = []
        for (key, entry) in entries {
            let hasEnded = now - entry.lastSeen >= Self.silenceThatEnds
            if !entry.isTold, hasEnded || now - entry.lastWritten >= Self.refresh,
                let write = tell(key, now)
            {
                writes.append(write)
            }
            if hasEnded { entries[key] = nil }
        }
        // A full bucket limits nothing, so it can be dropped.
        budgets = budgets.filter { !$0.value.isFull(now) }
        return writes
    }
}

/// A rate limit that allows a burst, and then one token per interval.
struct TokenBucket: Sendable {
    let burst: Double
    /// The time in seconds until a token comes back.
    let interval: Double
    private var tokens: Double
    private var time: Double

    init(burst: Double, interval: Double, full now: Double) {
        (self.burst, self.interval) = (burst, interval)
        (tokens, time) = (burst, now)
    }

    private func tokens(_ now: Double) -> Double {
        min(burst, tokens + max(0, now - time) / interval)
    }

    func peek(_ now: Double) -> Bool { tokens(now) >= 1 }

    func isFull(_ now: Double) -> Bool { tokens(now) >= burst }

    mutating func take(_ now: Double) -> Bool {
        guard peek(now) else { return false }
        (tokens, time) = (tokens(now) - 1, now)
        return true
    }
}
