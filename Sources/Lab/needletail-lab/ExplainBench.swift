internal import ArgumentParser
internal import EmbeddedAPIServer
internal import FoundationEssentials
internal import Glibc
internal import NetworkNamespaces

/// Measures what it costs to ask about one Service of many.
struct ExplainBench {
    let services: Int
    let endpoints: Int

    private static let questions = 5

    func run() throws {
        print(
            """

            explain, asked about one of \(services) Services with \(endpoints) endpoints each, with \
            an API server on loopback: the fastest of \(Self.questions)

            """
        )
        print(
            "target".padded(24) + "status".leftPadded(7) + "time".leftPadded(11)
                + "CPU".leftPadded(11) + "peak".leftPadded(11)
        )
        let namespace = try NetworkNamespace()
        try namespace.ip([
            "link set lo up", "link add eth0 type veth peer name eth1", "link set eth1 up",
            "addr add 192.0.2.1/24 dev eth0",
            "link set eth0 up", "route add default via 192.0.2.9",
        ])
        try namespace.setSysctl("net/ipv4/ip_forward", "1")
        let objects = BenchObjects(endpoints: endpoints)
        let server = APIServer()
        try server.apply(["kind": "Node", "metadata": ["name": "bench"]])
        for index in 0..<services { try objects.apply(index, to: server) }
        server.compact()
        let listener = try namespace.inside { try server.listen() }
        listener.start()
        defer { server.stop() }
        let flags = [
            "--master", listener.url, "--hostname-override", "bench", "--node-ip", "192.0.2.1",
            "--cluster-cidr", "10.128.0.0/9",
        ]
        try namespace.run([try Cluster.program("needletail"), "run", "--once"] + flags)
        let index = services / 2
        for target in ["bench/service-\(index)", "\(objects.address(index)):80"] {
            let rows = try (0..<Self.questions).map { _ in
                try namespace.run(
                    [try Cluster.program("needletail-lab"), "measure"]
                        + [try Cluster.program("needletail"), "explain", target] + flags
                )
            }
            print(target.padded(24) + (rows.min() ?? ""), terminator: "")
        }
    }
}

/// Runs a program, and says what it took; a small process does that, since memory counts from before
/// a program is started.
struct MeasureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "measure",
        abstract: "Run a program and say what it took.",
        shouldDisplay: false
    )

    @Argument(parsing: .captureForPassthrough) var words: [String]

    func run() throws {
        let start = ContinuousClock.now
        let child = try spawn()
        var (status, usage) = (Int32(0), rusage())
        guard wait4(child, &status, 0, &usage) == child else {
            throw LabError("waiting for \(words[0]): \(String(cString: strerror(errno)))")
        }
        let time = ContinuousClock.now - start
        let processor =
            Duration.seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
            + .microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
        print(
            "\(status >> 8)".leftPadded(7) + time.formattedMilliseconds.leftPadded(11)
                + processor.formattedMilliseconds.leftPadded(11)
                + "\(usage.ru_maxrss) KiB".leftPadded(11)
        )
    }

    /// Starts the program, whose answers nobody reads.
    private func spawn() throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, words[0], &actions, nil, &arguments, environ)
        guard code == 0 else {
            throw LabError("starting \(words[0]): \(String(cString: strerror(code)))")
        }
        return child
    }
}
