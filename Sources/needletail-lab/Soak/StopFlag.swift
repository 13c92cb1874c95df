internal import Dispatch
internal import Synchronization

/// Asks a thread to end, and knows when it has.
final class StopFlag: Sendable {
    private let wanted = Mutex(false)
    private let ended = DispatchSemaphore(value: 0)

    var isSet: Bool { wanted.withLock(\.self) }

    /// The thread has seen it.
    func confirm() { ended.signal() }

    func setAndWait() {
        wanted.withLock { $0 = true }
        ended.wait()
    }
}
