internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes
internal import Synchronization
internal import Threads

/// A thread that opens connections through a Service, one each 50 µs or so, on the first processor.
final class ConnectionSender: Sendable {
    private struct State {
        var isOver = false
        /// When each connection was established, in nanoseconds of the monotonic clock.
        var outcome: Result<[Int], any Error>?
    }

    private let state = Mutex(State())

    init(_ path: ConnectionPath, to address: IPAddress) {
        startThread { [self] in
            let outcome = Result { try send(path, address) }
            state.withLock { $0.outcome = outcome }
        }
    }

    private func send(_ path: ConnectionPath, _ address: IPAddress) throws -> [Int] {
        let target = ConnectionTarget(
            address,
            80,
            from: SourceAddresses(ConnectionServices.client, count: 1000)
        )
        try Self.stayOnFirstProcessor()
        return try withRealTimePriority {
            var times: [Int] = []
            while !state.withLock({ $0.isOver }) {
                _ = try path.connect(1, to: target)
                times.append(monotonicTime())
                usleep(50)
            }
            return times
        }
    }

    private static func stayOnFirstProcessor() throws {
        // PID/task/TID
        guard let thread = realpath("/proc/thread-self", nil) else {
            throw LabError("/proc is missing")
        }
        defer { free(thread) }
        let number = String(cString: thread).split(separator: "/").last.map(String.init) ?? ""
        try Command.run(["taskset", "--cpu-list", "--pid", "0", number])
    }

    /// Ends the thread, and returns when each connection was established.
    func stop() throws -> [Int] {
        state.withLock { $0.isOver = true }
        while true {
            if let outcome = state.withLock({ $0.outcome }) { return try outcome.get() }
            usleep(1000)
        }
    }
}
