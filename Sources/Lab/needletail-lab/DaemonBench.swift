internal import EmbeddedAPIServer
internal import FoundationEssentials
internal import Glibc
internal import NFTablesKernel
internal import NetworkNamespaces
internal import NetworkTypes
internal import Netlink

/// Measures a daemon that follows an API server, as a node runs it: what starting, changes and a restart
/// take, and how much memory it has.
struct DaemonBench {
    let sizes: [Int]
    let endpoints: Int
    let changes: Int

    struct Row {
        let services: Int
        /// Of a change, until the kernel has it.
        let median, slowest: Duration
    }

    func run() throws -> [Row] {
        print(
            """

            The daemon with an API server on loopback, Services with \(endpoints) endpoints each. Times are \
            from the start of the process until all is programmed, of which the lists, and from their arrival \
            until the API server's Service and DNS are programmed and all are; and from an object's change in \
            the API server until the kernel has it. The server's own work is included.

            """
        )
        print(
            "services".leftPadded(9) + "start".leftPadded(12) + "lists".leftPadded(12)
                + "first".leftPadded(10) + "all".leftPadded(12) + "CPU".leftPadded(12)
                + "RSS".leftPadded(9) + "peak".leftPadded(9) + "change p50".leftPadded(12)
                + "p99".leftPadded(10) + "CPU".leftPadded(10) + "RSS".leftPadded(9)
                + "restart".leftPadded(12) + "CPU".leftPadded(12)
        )
        return try sizes.filter { $0 > 0 }.map(measure)
    }

    private func measure(_ size: Int) throws -> Row {
        let namespace = try NetworkNamespace()
        try namespace.ip([
            "link set lo up", "link add eth0 type veth peer name eth1", "link set eth1 up",
            "addr add 192.0.2.1/24 dev eth0",
            "link set eth0 up",
        ])
        let objects = BenchObjects(endpoints: endpoints)
        let server = APIServer()
        try server.apply(["kind": "Node", "metadata": ["name": "bench"]])
        try objects.applyFirst(to: server)
        for index in 0..<size { try objects.apply(index, to: server) }
        server.compact()
        let listener = try namespace.inside { try server.listen() }
        listener.start()
        defer { server.stop() }

        let first = try MeasuredDaemon(namespace, listener.url)
        let start = try first.waitUntilReady()
        let phases = try first.startPhases()
        let (startTime, rested) = (first.processorTime, first.memory)
        let latencies = try (1...changes).map { round in
            try first.latency {
                try objects.applySlice(round * 7919 % size, replaced: round, to: server)
            }
        }
        .sorted()
        let spent = first.processorTime - startTime
        let later = first.memory
        first.stop()
        let second = try MeasuredDaemon(namespace, listener.url)
        let restart = try second.waitUntilReady()
        let columns = [
            "\(size)".leftPadded(9), start.formattedMilliseconds.leftPadded(12),
            phases.lists.leftPadded(12), phases.first.leftPadded(10), phases.all.leftPadded(12),
            startTime.formattedMilliseconds.leftPadded(12), rested.resident.leftPadded(9),
            rested.peak.leftPadded(9),
            latencies[latencies.count / 2].formattedHundredths.leftPadded(12),
            latencies[latencies.count * 99 / 100].formattedHundredths.leftPadded(10),
            (spent / changes).formattedHundredths.leftPadded(10), later.resident.leftPadded(9),
            restart.formattedMilliseconds.leftPadded(12),
            second.processorTime.formattedMilliseconds.leftPadded(12),
        ]
        print(columns.joined())
        fflush(nil)
        second.stop()
        return Row(
            services: size,
            median: latencies[latencies.count / 2],
            slowest: latencies[latencies.count * 99 / 100]
        )
    }
}

/// A daemon whose resources are watched from outside.
private final class MeasuredDaemon {
    private let child: pid_t
    private let log: String
    private let namespace: NetworkNamespace
    private let begin = ContinuousClock.now
    private let generations: Generations

    init(_ namespace: NetworkNamespace, _ url: String) throws {
        self.namespace = namespace
        log = "/tmp/needletail-bench-\(getpid()).log"
        generations = try namespace.inside { try Generations() }
        child = try Command.start(
            [
                try Cluster.program("needletail"), "run", "--master", url, "--hostname-override",
                "bench", "--node-ip", "192.0.2.1", "--cluster-cidr", "10.128.0.0/9",
            ],
            in: namespace,
            endingWith: "TERM",
            log: log
        )
    }

    deinit { unlink(log) }

    func stop() {
        kill(child, SIGTERM)
        waitpid(child, nil, 0)
    }

    /// Waits until the first sync is over, and returns how long the process has run.
    func waitUntilReady() throws -> Duration {
        let deadline = begin + .seconds(300)
        while try !isReady() {
            guard .now < deadline, waitpid(child, nil, WNOHANG) == 0 else {
                let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
                throw LabError("the daemon is not ready: \(text.suffix(2000))")
            }
            usleep(2000)
        }
        return .now - begin
    }

    private func isReady() throws -> Bool { try answer("/readyz", port: 10256)?.status == 200 }

    /// How long the phases of the start took, as the daemon says.
    func startPhases() throws -> (lists: String, first: String, all: String) {
        guard let body = try answer("/status", port: 10249)?.body else {
            throw LabError("the daemon does not tell its status")
        }
        let start = try JSONDecoder().decode(JSONValue.self, from: Data(body.utf8))["start"]
        let text = { (phase: String) in
            start[phase].double.map { Duration.seconds($0).formattedMilliseconds } ?? "-"
        }
        return (text("lists"), text("firstServices"), text("all"))
    }

    private func answer(_ path: String, port: UInt16) throws -> HTTPAnswer? {
        let target = FrontendKey(IPAddress(ipv4: 0x7F00_0001), .tcp, port)
        let outcome = try HTTPRequest(path: path).send(to: target, from: namespace, patience: 5)
        guard case .answered(let answer) = outcome else { return nil }
        return answer
    }

    /// Returns the time from the call of the closure until the kernel has another generation of rules.
    ///
    /// Nothing listens to notifications, which would make every commit slower.
    func latency(_ change: () throws -> Void) throws -> Duration {
        let before = try generations.current
        let start = ContinuousClock.now
        try change()
        while try generations.current == before {
            guard .now - start < .seconds(30) else { throw LabError("a change is not programmed") }
            usleep(20)
        }
        let time = ContinuousClock.now - start
        // What follows a commit belongs to it, and not to the next one's time.
        usleep(2000)
        return time
    }

    /// The time that all threads, those that have ended included, have spent on processors.
    var processorTime: Duration {
        // 14th and 15th field, in ticks of 10 ms; the command's name may contain spaces.
        let text = (try? String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8)) ?? ""
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        let ticks = [11, 12].reduce(0) { $0 + (fields.count > $1 ? Int(fields[$1]) ?? 0 : 0) }
        return .milliseconds(ticks * 10)
    }

    var memory: (resident: String, peak: String) {
        let memory = ProcessMemory(of: child)
        let text = { (bytes: Int?) in "\((bytes ?? 0) >> 20) MiB" }
        return (text(memory?.resident), text(memory?.peak))
    }
}

/// Asks for the generation of the rules in a namespace.
private final class Generations {
    private var socket: NetlinkSocket

    init() throws { socket = try NetlinkSocket(.netfilter) }

    var current: UInt32 { get throws { try RulesetListener.generation(&socket) } }
}
