/// Makes few events of many notices: pure decisions.
///
/// The first notice makes an object; those that are the same but for the note make a series of it.
/// A series is told at its second notice, every half an hour, and when it has ended
/// (client-go's `tools/events/event_broadcaster.go`). New objects are limited by what they regard
/// and in all.
///
/// Times are given twice: `now` in seconds of a clock that only runs, by which everything is
/// decided, and `time` in seconds since 1970, which is told. The second one may be set back or
/// forth: events must neither stop for it nor come in a flood.
struct EventAggregator {
    enum Write: Sendable, Hashable {
        case create(EventObject)
        /// Tells the series of an object that was created.
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
        /// The same by the wall's clock.
        var lastSeenTime: Double
        var lastWritten: Double
        var isTold = true
    }

    /// In seconds.
    static let silenceThatEnds = 360.0
    static let refresh = 1800.0
    static let entryLimit = 1024

    private let reporter: EventReporter
    private var entries: [Key: Entry] = [:]
    private var budgets: [ObjectReference: TokenBucket] = [:]
    private var budget = TokenBucket(burst: 50, interval: 1, full: 0)
    /// Notices that made no event.
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

    /// What time alone makes due; to be called about once a minute.
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
        // A full bucket is like none.
        budgets = budgets.filter { !$0.value.isFull(now) }
        return writes
    }
}

/// So many at once, then one each interval.
struct TokenBucket: Sendable {
    let burst: Double
    /// Seconds until a token comes back.
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
