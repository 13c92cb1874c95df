internal import Synchronization

/// For how long the API server was not heard, for each kind of objects.
///
/// While a watch is open something comes at least once a minute, if only a bookmark.
package final class ViewAge: Sendable {
    private let lastHeard = Mutex<[String: ContinuousClock.Instant]>([:])

    package init() {}

    func reset(_ kind: String) { lastHeard.withLock { $0[kind] = .now } }

    /// Nil before the first list.
    package func current(_ kind: String) -> Duration? {
        lastHeard.withLock { $0[kind] }.map { ContinuousClock.now - $0 }
    }
}
