internal import Synchronization

/// How well the objects of each kind are followed, for health checks and metrics.
package final class APIView: Sendable {
    package struct Kind: Sendable {
        /// The time at which something was last received; nil before the first list.
        fileprivate(set) var lastHeard: ContinuousClock.Instant?
        /// Whether something has been received since the last failure.
        package fileprivate(set) var isFollowed = false
        /// The number of objects that are set aside because they cannot be read.
        package fileprivate(set) var unreadable = 0

        /// The time since anything was received from the API server; nil before the first list.
        ///
        /// While a watch is open something arrives at least once a minute, if only a bookmark.
        package var age: Duration? { lastHeard.map { .now - $0 } }
    }

    private let state = Mutex<[String: Kind]>([:])

    package init() {}

    func heard(_ kind: String) {
        state.withLock {
            $0[kind, default: Kind()].lastHeard = .now
            $0[kind, default: Kind()].isFollowed = true
        }
    }

    func failed(_ kind: String) { state.withLock { $0[kind, default: Kind()].isFollowed = false } }

    func setUnreadable(_ count: Int, _ kind: String) {
        state.withLock { $0[kind, default: Kind()].unreadable = count }
    }

    func age(_ kind: String) -> Duration? { kinds[kind]?.age }

    package var kinds: [String: Kind] { state.withLock(\.self) }
}
