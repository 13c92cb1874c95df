/// What an informer does next: pure decisions.
struct WatchPolicy {
    enum Step: Equatable {
        /// Initial events, then changes, in one request; as new as the version at least.
        case streamingList(notOlderThan: String)
        case list(List)
        case watch(from: String)
    }

    /// How to list.
    enum List: Equatable {
        /// Whatever the API server has in its cache.
        case cached
        /// As new as the version at least: no step back in time.
        case notOlderThan(String)
        /// The most recent state; in pages unless a page's token expired on the way.
        case mostRecent(isPaged: Bool)
    }

    /// The pauses between failures: exponential, with jitter up to as much again.
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
    /// Failures in a row that say nothing about the connection, but that something about this
    /// watch cannot be right.
    private var suspicions = 0
    private var canStream = true
    /// The last list had objects that could not be read, and another one is to show whether they
    /// were damaged on their way.
    private var isInDoubt = false

    init(backoff: Backoff = Backoff()) { self.backoff = backoff }

    var next: Step {
        switch phase {
        case .watch: .watch(from: version)
        // Whatever spoils a stream on its way may let an ordinary list through: in turn.
        case .list(let list) where canStream && failures.isMultiple(of: 2):
            // A version that the server does not have (yet) is not asked for again.
            .streamingList(notOlderThan: list == .mostRecent(isPaged: true) ? "" : version)
        case .list(let list): .list(list)
        }
    }

    /// A list is complete, and the watch goes on from its version.
    ///
    /// After one with objects that cannot be read there is one more list, and not another.
    mutating func onList(version: String, hasUnreadable: Bool = false) {
        isInDoubt = hasUnreadable && !isInDoubt
        (failures, suspicions) = (0, 0)
        phase = isInDoubt ? .list(version.isEmpty ? .cached : .notOlderThan(version)) : .watch
        self.version = version
    }

    var isWatching: Bool { phase == .watch }

    /// An event arrived, so the connection works; a bookmark is one too.
    mutating func onEvent(version: String) {
        failures = 0
        guard !version.isEmpty, version != self.version else { return }
        (self.version, suspicions) = (version, 0)
    }

    /// The server ended the watch; returns how long to wait before the next one.
    ///
    /// One that ends at once without an event is a failure, or a server that closes every watch
    /// would be asked without a pause (client-go: "very short watch").
    mutating func onEnd(after duration: Duration, hadEvents: Bool, jitter: Double) -> Duration {
        guard duration < .seconds(1), !hadEvents else { return .zero }
        return nextDelay(jitter: jitter)
    }

    /// A streaming list ended before it was complete: the server does not know what that is.
    mutating func onIncompleteStream() -> Duration {
        canStream = false
        return .zero
    }

    /// Returns how long to wait; `jitter` is from 0 to 1.
    mutating func onFailure(_ error: ClientError, jitter: Double) -> Duration {
        let isStreaming = if case .streamingList = next { true } else { false }
        switch error.kind {
        case .unavailable: break
        case .unusual where isStreaming:
            // Servers without WatchList answer in many ways; all of them can list.
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

    /// Decides whether only a new list can help.
    private mutating func restart(_ kind: ClientError.Kind, isFirst: Bool) -> Bool {
        switch phase {
        case .watch where kind == .expired || !isFirst:
            phase = .list(version.isEmpty ? .cached : .notOlderThan(version))
            return kind == .expired
        case .list where kind == .expired:
            phase = .list(.mostRecent(isPaged: false))
            return true
        case .list where !isFirst:
            // The version that is asked for may be none.
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
    /// There was no server, or nothing behind what stands before it.
    var isAbsence: Bool {
        switch self {
        case .transport: true
        case .status(_, let status): [502, 503, 504].contains(status.code)
        case .configuration, .malformed: false
        }
    }

    /// The server answered, and will answer the same again.
    var isRefusal: Bool {
        guard let code = status?.code else { return false }
        return ![408, 410, 429, 502, 503, 504].contains(code)
    }

    /// What a failure says about how to go on.
    enum Kind {
        /// The same may work later.
        case unavailable
        /// The version is no longer known.
        case expired
        /// The version is not known yet.
        case tooNew
        /// The same will hardly work.
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
