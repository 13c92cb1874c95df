internal import Glibc
internal import NetworkNamespaces
internal import Synchronization

/// Programs that a lab runs in its namespaces; they end when the lab does, for whatever reason.
final class Processes: Sendable {
    private let children = Mutex<[pid_t]>([])

    func start(_ arguments: [String], in namespace: Namespace, log: String) throws {
        let child = try Command.start(
            arguments,
            in: namespace.handle,
            endingWith: "TERM",
            log: log
        )
        children.withLock { $0.append(child) }
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
