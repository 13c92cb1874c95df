internal import Dispatch
internal import Synchronization

/// A thread that lives as long as the process; the threads of a pool may end at any time.
package final class LastingThread: Sendable {
    /// The shared thread, which runs in the network namespace of its first user.
    package static let shared = LastingThread()

    private let jobs = Mutex<[@Sendable () -> Void]>([])
    private let waiting = DispatchSemaphore(value: 0)

    private init() {
        startThread { [self] in
            while true {
                waiting.wait()
                jobs.withLock { $0.removeFirst() }()
            }
        }
    }

    /// Runs the closure on this thread and waits for it.
    package func run<Value: Sendable>(
        _ body: @escaping @Sendable () throws -> Value
    ) throws -> Value {
        let outcome = Outcome<Value>()
        let isDone = DispatchSemaphore(value: 0)
        jobs.withLock { jobs in
            jobs.append {
                let result = Result { try body() }
                outcome.result.withLock { $0 = result }
                isDone.signal()
            }
        }
        waiting.signal()
        isDone.wait()
        guard let result = outcome.result.withLock({ $0 }) else { fatalError("it has run") }
        return try result.get()
    }

    private final class Outcome<Value: Sendable>: Sendable {
        let result = Mutex<Result<Value, any Error>?>(nil)
    }
}
