@testable import KubernetesClient
import Testing

@Suite struct WatchPolicyTests {
    private func status(_ code: Int, _ message: String = "", after: Int = 0) -> ClientError {
        .status(
            request: "",
            ServerStatus(code: code, message: message, retryAfter: .seconds(after))
        )
    }
    private let refused = ClientError.transport(request: "", reason: "")
    private let malformed = ClientError.malformed(request: "", reason: "")

    private func watching(from version: String) -> WatchPolicy {
        var policy = WatchPolicy()
        policy.onList(version: version)
        return policy
    }

    @Test func `a watch resumes where the last event or bookmark was`() {
        var policy = WatchPolicy()
        #expect(policy.next == .streamingList(notOlderThan: ""))
        policy.onList(version: "5")
        policy.onEvent(version: "8")
        policy.onEvent(version: "")
        #expect(policy.next == .watch(from: "8"))
        _ = policy.onFailure(refused, jitter: 0)
        #expect(policy.next == .watch(from: "8"))
    }

    @Test func `an expired version leads to a new list at once, and then not too often`() {
        var policy = watching(from: "5")
        #expect(policy.onFailure(status(410), jitter: 0) == .zero)
        // The list must not go back in time.
        #expect(policy.next == .streamingList(notOlderThan: "5"))
        #expect(policy.onFailure(status(410), jitter: 0) > .zero)
    }

    @Test(arguments: [400, 404, 405, 422, 500])
    func `a server without streaming lists is listed at once, for good`(code: Int) {
        var policy = WatchPolicy()
        #expect(policy.onFailure(status(code), jitter: 0) == .zero)
        #expect(policy.next == .list(.cached))
        policy.onList(version: "5")
        _ = policy.onFailure(status(410), jitter: 0)
        #expect(policy.next == .list(.notOlderThan("5")))
    }

    @Test func `a stream that ends without its end of the initial events is no streaming list`() {
        var policy = WatchPolicy()
        #expect(policy.onIncompleteStream() == .zero)
        #expect(policy.next == .list(.cached))
    }

    @Test func `what spoils streaming lists only is found out by turns`() {
        var policy = WatchPolicy()
        _ = policy.onFailure(refused, jitter: 0)
        #expect(policy.next == .list(.cached))
        _ = policy.onFailure(refused, jitter: 0)
        #expect(policy.next == .streamingList(notOlderThan: ""))
    }

    @Test func `an expired page leads to one whole list`() {
        var policy = WatchPolicy()
        _ = policy.onIncompleteStream()
        #expect(policy.onFailure(status(410), jitter: 0) == .zero)
        #expect(policy.next == .list(.mostRecent(isPaged: false)))
    }

    @Test func `a server that was set back is asked for what it has`() {
        var policy = watching(from: "900")
        _ = policy.onFailure(status(410), jitter: 0)
        let tooLarge = status(504, "Timeout: Too large resource version: 900, current: 7", after: 1)
        #expect(policy.onFailure(tooLarge, jitter: 0) == .seconds(1))
        #expect(policy.next == .list(.mostRecent(isPaged: true)))
        _ = policy.onFailure(refused, jitter: 0)
        #expect(policy.next == .streamingList(notOlderThan: ""))
    }

    @Test func `an event that cannot be read is asked for once more, then there is a new list`() {
        var policy = watching(from: "5")
        #expect(policy.onFailure(malformed, jitter: 0) > .zero)
        #expect(policy.next == .watch(from: "5"))
        #expect(policy.onFailure(malformed, jitter: 0) > .zero)
        #expect(policy.next == .streamingList(notOlderThan: "5"))
    }

    @Test func `progress between two unreadable events is no reason for a new list`() {
        var policy = watching(from: "5")
        _ = policy.onFailure(malformed, jitter: 0)
        policy.onEvent(version: "6")
        _ = policy.onFailure(malformed, jitter: 0)
        #expect(policy.next == .watch(from: "6"))
    }

    @Test func `failures back off up to a minute with jitter, and an event resets that`() {
        var policy = watching(from: "5")
        let delays = (0..<12).map { _ in policy.onFailure(refused, jitter: 0) }
        #expect(delays.first == .milliseconds(800) && delays.last == .seconds(30))
        #expect(policy.onFailure(refused, jitter: 1) == .seconds(60))
        policy.onEvent(version: "6")
        #expect(policy.onFailure(refused, jitter: 0) == .milliseconds(800))
        #expect(policy.onFailure(status(429, after: 90), jitter: 0) == .seconds(90))
    }

    @Test func `a version that no server knows is not asked for again and again`() {
        var policy = watching(from: "nonsense")
        for _ in 0..<5 { _ = policy.onFailure(status(400), jitter: 0) }
        #expect(policy.next == .list(.mostRecent(isPaged: true)))
    }

    @Test func `after a list with unreadable objects there is one more, and then the watch`() {
        var policy = WatchPolicy()
        policy.onList(version: "5", hasUnreadable: true)
        #expect(policy.next == .streamingList(notOlderThan: "5") && !policy.isWatching)
        policy.onList(version: "6", hasUnreadable: true)
        #expect(policy.next == .watch(from: "6"))
    }

    @Test func `a watch that ends at once backs off, one that brought something does not`() {
        var policy = watching(from: "5")
        let end = { (seconds: Int, hadEvents: Bool) in
            policy.onEnd(after: .seconds(seconds), hadEvents: hadEvents, jitter: 0)
        }
        #expect(end(0, false) == .milliseconds(800))
        #expect(end(0, false) == .milliseconds(1600))
        #expect(end(0, true) == .zero)
        #expect(end(300, false) == .zero)
    }
}
