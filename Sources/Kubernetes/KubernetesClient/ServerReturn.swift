internal import Synchronization

/// Wakes all tasks that wait for an API server as soon as one of them has reached it.
final class ServerReturn: Sendable {
    private struct State {
        var isAway = false
        var waiting: [Int: AsyncStream<Void>.Continuation] = [:]
        var last = 0
    }

    private let state = Mutex(State())

    /// Records that a request got no answer from the server.
    func lost() { state.withLock { $0.isAway = true } }

    /// Records that a request was answered, and wakes the waiting tasks.
    ///
    /// Nobody is woken unless the server was lost before; otherwise two tasks whose answers break
    /// off would wake each other without a pause.
    func answered() {
        let waiting = state.withLock { state -> [AsyncStream<Void>.Continuation] in
            guard state.isAway else { return [] }
            state.isAway = false
            defer { state.waiting = [:] }
            return Array(state.waiting.values)
        }
        for continuation in waiting { continuation.finish() }
    }

    /// Waits for the server to return, up to a maximum duration.
    func wait(atMost duration: Duration) async {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        let number = state.withLock { state in
            state.last += 1
            state.waiting[state.last] = continuation
            return state.last
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await Task.sleep(for: duration) }
            group.addTask { for await _ in stream {} }
            await group.next()
            group.cancelAll()
        }
        state.withLock { _ = $0.waiting.removeValue(forKey: number) }
    }
}
