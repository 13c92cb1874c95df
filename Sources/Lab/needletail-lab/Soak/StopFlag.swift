internal import Dispatch
internal import Synchronization

/// Asks a thread to end, and waits until it has.
final class StopFlag: Sendable {
    private let wanted = Mutex(false)
    private let ended = DispatchSemaphore(value: 0)

    var isSet: Bool { wanted.withLock(\.self) }

    /// Called by the thread when it ends.
    func confirm() { ended.signal() }

    func setAndWait() {
        wanted.withLock { $0 = true }
        ended.wait()
    }
}
