internal import Synchronization

/// How well each kind of objects is followed, for those who watch.
package final class APIView: Sendable {
    package struct Kind: Sendable {
        /// Nil before the first list.
        fileprivate(set) var lastHeard: ContinuousClock.Instant?
        /// Since the last failure something was heard.
        package fileprivate(set) var isFollowed = false
        /// How many objects are set aside, since they cannot be read.
        package fileprivate(set) var unreadable = 0

        /// For how long the API server was not heard; nil before the first list.
        ///
        /// While a watch is open something comes at least once a minute, if only a bookmark.
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
