internal import Glibc
internal import NetworkNamespaces
internal import Synchronization

/// The needletail processes of a lab, one on each node.
final class Daemons: Sendable {
    private let children = Mutex<[pid_t]>([])

    /// Starts needletail on each node with the flags.
    ///
    /// With `setpriv`, the processes end when the lab does, for whatever reason.
    func start(_ nodes: [Topology.Node], binary: String, flags: [String], logs: String) throws {
        for node in nodes {
            let log = open(
                "\(logs)/\(node.name).log",
                O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                0o644
            )
            let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
            defer {
                close(log)
                close(null)
            }
            let child = try Command.start(
                [
                    binary, "run", "--hostname-override", node.name, "--node-ip",
                    "\(node.address),\(node.address6)",
                ] + flags,
                in: node.namespace.handle,
                endingWith: "TERM",
                input: null,
                output: log
            )
            children.withLock { $0.append(child) }
        }
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
