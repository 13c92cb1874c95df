internal import EmbeddedAPIServer
internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes
internal import Threads

/// A node in a network namespace, with an API server and needletail; its pods are addresses of a
/// device.
final class SoakNode: Sendable {
    static let address = "192.0.2.1"
    static let pod = "10.244.1.5"
    let namespace: NetworkNamespace
    let server: APIServer
    let child: pid_t

    init(log: String) throws {
        guard geteuid() == 0 else {
            throw LabError("network namespaces need root; run it with sudo")
        }
        namespace = try NetworkNamespace()
        try namespace.ip([
            "link set lo up", "link add pods type bridge", "addr add \(Self.pod)/24 dev pods",
            "link set pods up", "link add world type bridge",
            "addr add \(Self.address)/24 dev world",
            "link set world up", "route add default dev world",
            // Connections can come from any address in this range.
            "route add local 10.99.0.0/16 dev lo",
        ])
        let server = APIServer()
        self.server = server
        let listener = try namespace.inside { try server.listen() }
        listener.start()
        try server.apply(["kind": "Node", "metadata": ["name": "node1"]])
        child = try Command.start(
            [
                try Cluster.program("needletail"), "run", "--master", listener.url,
                "--hostname-override", "node1", "--node-ip", Self.address, "--cluster-cidr",
                "10.244.0.0/16",
            ],
            in: namespace,
            log: log
        )
    }

    /// Whether the daemon is still running.
    var isRunning: Bool { waitpid(child, nil, WNOHANG) == 0 }

    func stop() {
        kill(child, SIGTERM)
        waitpid(child, nil, 0)
        server.stop()
    }

    /// Opens a socket in this namespace; every call on it waits at most one second.
    func socket(_ type: __socket_type) throws -> Int32 {
        let descriptor = try openSocket(type, AF_INET, in: namespace, patience: 1)
        // Closed connections must not remain in TIME_WAIT.
        var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
        if type == SOCK_STREAM {
            let size = socklen_t(MemoryLayout<Glibc.linger>.size)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, size)
        }
        return descriptor
    }
}

/// Repeats work on a dedicated thread until it is stopped.
final class Repeater: Sendable {
    private let flag = StopFlag()

    /// Starts the thread.
    ///
    /// - Parameter pause: the time between two rounds
    init(every pause: Duration, _ body: @escaping @Sendable () -> Void) {
        startThread { [flag] in
            while !flag.isSet {
                body()
                let end = ContinuousClock.now + pause
                // The pause consists of short sleeps, so that `stop` returns soon.
                while .now < end, !flag.isSet {
                    let rest = min(end - .now, .milliseconds(100))
                    usleep(useconds_t(max(0, rest / .microseconds(1))))
                }
            }
            flag.confirm()
        }
    }

    /// Stops the thread, and returns when its last round is over.
    func stop() { flag.setAndWait() }
}
