internal import Glibc
internal import NetworkNamespaces
internal import Synchronization

/// Programs that a lab runs in its namespaces; they end when the lab does, for whatever reason.
final class Processes: Sendable {
    private let children = Mutex<[pid_t]>([])

    /// Starts a program, and returns its number for `stop`.
    @discardableResult
    func start(_ arguments: [String], in namespace: Namespace, log: String) throws -> pid_t {
        let child = try Command.start(
            arguments,
            in: namespace.handle,
            endingWith: "TERM",
            log: log
        )
        children.withLock { $0.append(child) }
        return child
    }

    /// Stops one process, and waits until it has ended.
    func stop(_ child: pid_t) {
        children.withLock { $0.removeAll { $0 == child } }
        kill(child, SIGTERM)
        waitpid(child, nil, 0)
    }

    /// Stops all processes, and waits until they have ended.
    func stop() {
        let running = children.withLock { list in
            defer { list = [] }
            return list
        }
        for child in running { kill(child, SIGTERM) }
        for child in running { waitpid(child, nil, 0) }
    }
}
