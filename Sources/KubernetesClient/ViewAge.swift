internal import Synchronization

/// For how long the API server was not heard, for each kind of objects.
///
/// While a watch is open something comes at least once a minute, if only a bookmark.
package final class ViewAge: Sendable {
    private let lastHeard = Mutex<[String: ContinuousClock.Instant]>([:])

    package init() {}

    func reset(_ kind: String) { lastHeard.withLock { $0[kind] = .now } }

    /// Nil before the first list.
    func current(_ kind: String) -> Duration? { all[kind] }

    /// By kind; without those whose first list has not come.
    package var all: [String: Duration] {
        let now = ContinuousClock.now
        return lastHeard.withLock(\.self).mapValues { now - $0 }
    }
}
