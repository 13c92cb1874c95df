/// What an informer does next: pure decisions.
struct WatchPolicy {
    enum Step: Equatable {
        case list
        case watch(from: String)
    }

    private(set) var next = Step.list
    private var failures = 0

    private static let firstDelay = 0.8
    private static let longestDelay = 30.0

    mutating func onList(version: String) {
        failures = 0
        next = .watch(from: version)
    }

    /// An event arrived, so the connection works; a bookmark is one too.
    mutating func onEvent(version: String?) {
        failures = 0
        if let version, !version.isEmpty { next = .watch(from: version) }
    }

    /// The server ended the watch; returns how long to wait before the next one.
    ///
    /// One that ends at once without an event is a failure, or a server that closes every watch
    /// would be asked without a pause (client-go: "very short watch").
    mutating func onEnd(after duration: Duration, hadEvents: Bool, jitter: Double) -> Duration {
        guard duration < .seconds(1), !hadEvents else { return .zero }
        return nextDelay(jitter: jitter)
    }

    /// Returns how long to wait; `jitter` is from 0 to 1.
    mutating func onFailure(_ error: ClientError, jitter: Double) -> Duration {
        if error.isExpired {
            next = .list
            // The first new list may come at once; one after the other may not.
            if failures == 0 {
                failures = 1
                return .zero
            }
        }
        return max(nextDelay(jitter: jitter), error.retryAfter)
    }

    private mutating func nextDelay(jitter: Double) -> Duration {
        failures += 1
        let delay = min(Self.firstDelay * Double(1 << min(failures - 1, 8)), Self.longestDelay)
        return .milliseconds(Int(delay * (1 + jitter) * 1000))
    }
}
