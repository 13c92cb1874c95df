internal import EmbeddedAPIServer
internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes
internal import Threads

/// A node in a network namespace with an API server, needletail, and pods that are addresses of a
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
            // Clients of any of these addresses can be played from here.
            "route add local 10.99.0.0/16 dev lo",
        ])
        let server = APIServer()
        self.server = server
        let listener = try namespace.inside { try server.listen() }
        listener.start()
        let file = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        defer {
            close(file)
            close(null)
        }
        guard file >= 0 else { throw LabError("\(log) cannot be written") }
        try server.apply(["kind": "Node", "metadata": ["name": "node1"]])
        child = try Command.start(
            [
                try Cluster.program("needletail"), "run", "--master", listener.url,
                "--hostname-override", "node1", "--node-ip", Self.address, "--cluster-cidr",
                "10.244.0.0/16",
            ],
            in: namespace,
            endingWith: "KILL",
            input: null,
            output: file
        )
    }

    /// Whether the daemon still lives.
    var isRunning: Bool { waitpid(child, nil, WNOHANG) == 0 }

    func stop() {
        kill(child, SIGTERM)
        waitpid(child, nil, 0)
        server.stop()
    }

    /// A socket of this namespace; every call on it waits a second at most.
    func socket(_ type: __socket_type) throws -> Int32 {
        let descriptor = try namespace.inside {
            Glibc.socket(AF_INET, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
        }
        guard descriptor >= 0 else { throw LabError("socket: \(String(cString: strerror(errno)))") }
        var limit = timeval(tv_sec: 1, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
        // Nothing of it stays behind in TIME_WAIT.
        var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
        if type == SOCK_STREAM {
            let size = socklen_t(MemoryLayout<Glibc.linger>.size)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, size)
        }
        return descriptor
    }
}

/// Work on a thread of its own, again and again until it is stopped.
final class Repeater: Sendable {
    private let flag = StopFlag()

    /// - Parameter pause: between two rounds
    init(every pause: Duration, _ body: @escaping @Sendable () -> Void) {
        startThread { [flag] in
            while !flag.isSet {
                body()
                let end = ContinuousClock.now + pause
                // In short naps, so that it ends soon.
                while .now < end, !flag.isSet {
                    let rest = min(end - .now, .milliseconds(100))
                    usleep(useconds_t(max(0, rest / .microseconds(1))))
                }
            }
            flag.confirm()
        }
    }

    /// Returns when the last round is over.
    func stop() { flag.setAndWait() }
}
