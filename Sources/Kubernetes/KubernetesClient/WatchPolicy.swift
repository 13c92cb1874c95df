/// Decides what an informer does next; it sends nothing itself.
struct WatchPolicy {
    enum Step: Equatable {
        /// The initial objects as events, then the changes, in one request; at least as new as the
        /// version.
        case streamingList(notOlderThan: String)
        case list(List)
        case watch(from: String)
    }

    /// The kinds of list requests.
    enum List: Equatable {
        /// A list from the API server's cache, of any age.
        case cached
        /// A list at least as new as the version, so that time does not go back.
        case notOlderThan(String)
        /// The most recent state, in pages unless a page's token has expired during the list.
        case mostRecent(isPaged: Bool)
    }

    /// The pauses after failures, which grow exponentially; jitter at most doubles each of them.
    struct Backoff: Sendable {
        var first = Duration.milliseconds(800)
        var longest = Duration.seconds(30)
    }

    private enum Phase: Equatable {
        case list(List)
        case watch
    }

    private let backoff: Backoff
    private var phase = Phase.list(.cached)
    private var version = ""
    private var failures = 0
    /// The number of failures in a row that point to a problem with this watch, not the connection.
    private var suspicions = 0
    private var canStream = true
    /// Whether one more list is needed, because the last one had unreadable objects.
    ///
    /// The next list shows whether they were only damaged in transit.
    private var isInDoubt = false

    init(backoff: Backoff = Backoff()) { self.backoff = backoff }

    var next: Step {
        switch phase {
        case .watch: .watch(from: version)
        // After failures, streaming and ordinary lists take turns: a fault on the path that breaks
        // streams may let an ordinary list through.
        case .list(let list) where canStream && failures.isMultiple(of: 2):
            // A version that the server does not have (yet) is not requested again.
            .streamingList(notOlderThan: list == .mostRecent(isPaged: true) ? "" : version)
        case .list(let list): .list(list)
        }
    }

    /// Records a complete list, from whose version the watch continues.
    ///
    /// A list with unreadable objects is followed by one more list, but not by a third.
    mutating func onList(version: String, hasUnreadable: Bool = false) {
        isInDoubt = hasUnreadable && !isInDoubt
        (failures, suspicions) = (0, 0)
        phase = isInDoubt ? .list(version.isEmpty ? .cached : .notOlderThan(version)) : .watch
        self.version = version
    }

    var isWatching: Bool { phase == .watch }

    /// Records an event, which shows that the connection works; a bookmark counts too.
    mutating func onEvent(version: String) {
        failures = 0
        guard !version.isEmpty, version != self.version else { return }
        (self.version, suspicions) = (version, 0)
    }

    /// Records that the server ended the watch, and returns how long to wait before the next one.
    ///
    /// A watch that ends at once without an event counts as a failure; otherwise a server that
    /// closes every watch would be asked without a pause (client-go: "very short watch").
    mutating func onEnd(after duration: Duration, hadEvents: Bool, jitter: Double) -> Duration {
        guard duration < .seconds(1), !hadEvents else { return .zero }
        return nextDelay(jitter: jitter)
    }

    /// Records that a streaming list ended early, because the server does not support it.
    mutating func onIncompleteStream() -> Duration {
        canStream = false
        return .zero
    }

    /// Records a failure and returns how long to wait; `jitter` is from 0 to 1.
    mutating func onFailure(_ error: ClientError, jitter: Double) -> Duration {
        let isStreaming = if case .streamingList = next { true } else { false }
        switch error.kind {
        case .unavailable: break
        case .unusual where isStreaming:
            // Servers without WatchList give various answers, but all of them can list.
            canStream = false
            return .zero
        case .expired, .unusual:
            suspicions += 1
            let isFirst = suspicions == 1
            guard restart(error.kind, isFirst: isFirst) else { break }
            if isFirst { return .zero }
        case .tooNew: phase = .list(.mostRecent(isPaged: true))
        }
        return max(nextDelay(jitter: jitter), error.status?.retryAfter ?? .zero)
    }

    /// Chooses the next phase, and returns whether it may begin at once after a first failure.
    private mutating func restart(_ kind: ClientError.Kind, isFirst: Bool) -> Bool {
        switch phase {
        case .watch where kind == .expired || !isFirst:
            phase = .list(version.isEmpty ? .cached : .notOlderThan(version))
            return kind == .expired
        case .list where kind == .expired:
            phase = .list(.mostRecent(isPaged: false))
            return true
        case .list where !isFirst:
            // The requested version may be invalid.
            phase = .list(.mostRecent(isPaged: true))
            return false
        default: return false
        }
    }

    private mutating func nextDelay(jitter: Double) -> Duration {
        failures += 1
        let delay = min(backoff.first * (1 << min(failures - 1, 16)), backoff.longest)
        return delay + delay * jitter
    }
}

extension ClientError {
    /// Whether there was no server, or a proxy in front of it found none.
    var isAbsence: Bool {
        switch self {
        case .transport: true
        case .status(_, let status): [502, 503, 504].contains(status.code)
        case .configuration, .malformed: false
        }
    }

    /// Whether the server answered, and will probably give the same answer again.
    var isRefusal: Bool {
        guard let code = status?.code else { return false }
        return ![408, 410, 429, 502, 503, 504].contains(code)
    }

    /// The classes of failures, by how to go on after them.
    enum Kind {
        /// The same request may succeed later.
        case unavailable
        /// The version is no longer known.
        case expired
        /// The version is not known yet.
        case tooNew
        /// The same request is unlikely to succeed.
        case unusual
    }

    var kind: Kind {
        switch self {
        case .configuration, .transport: .unavailable
        case .malformed: .unusual
        case .status(_, let status):
            switch status.code {
            case 410: .expired
            case 504 where status.message.contains("Too large resource version"): .tooNew
            case 401, 403, 408, 429, 502, 503, 504: .unavailable
            default: .unusual
            }
        }
    }
}
