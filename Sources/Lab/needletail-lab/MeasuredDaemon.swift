internal import EmbeddedAPIServer
internal import FoundationEssentials
internal import Glibc
internal import NFTablesKernel
internal import NetworkNamespaces
internal import NetworkTypes
internal import Netlink

/// A daemon whose resources are watched from outside.
final class MeasuredDaemon {
    private let child: pid_t
    private let log: String
    private let namespace: NetworkNamespace
    private let begin = ContinuousClock.now
    private let generations: Generations

    /// - Parameter logsCommits: whether the log has each commit, for `commits`
    init(_ cluster: BenchCluster, logsCommits: Bool = false) throws {
        namespace = cluster.namespace
        log = "/tmp/needletail-bench-\(getpid()).log"
        generations = try namespace.inside { try Generations() }
        child = try Command.start(
            [cluster.program, "run"] + cluster.flags + (logsCommits ? ["--v", "2"] : []),
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

    /// How long the phases of the start took in milliseconds, as the daemon says; not a number without it.
    func startPhases() throws -> (lists: Double, first: Double, all: Double) {
        guard let body = try answer("/status", port: 10249)?.body else {
            throw LabError("the daemon does not tell its status")
        }
        let start = try JSONDecoder().decode(JSONValue.self, from: Data(body.utf8))["start"]
        let time = { (phase: String) in (start[phase].double ?? .nan) * 1000 }
        return (time("lists"), time("firstServices"), time("all"))
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

    var memory: ProcessMemory {
        get throws {
            guard let memory = ProcessMemory(of: child) else {
                throw LabError("the daemon has ended")
            }
            return memory
        }
    }

    /// Lets the peak of memory start with what there is now.
    func forgetPeak() throws {
        // proc(5): 5 resets the peak.
        try Data("5".utf8).write(to: URL(filePath: "/proc/\(child)/clear_refs"))
    }

    // MARK: Many changes

    /// What the daemon has counted since its start.
    struct Counts {
        /// Changes of Services and EndpointSlices that are programmed.
        var changes = 0
        /// Elements added to and removed from sets.
        var elements = 0
    }

    var counts: Counts {
        get throws {
            guard let body = try answer("/metrics", port: 10249)?.body else {
                throw LabError("the daemon does not tell its metrics")
            }
            var counts = Counts()
            for line in body.split(separator: "\n") {
                guard let end = line.lastIndex(of: " "),
                    let value = Double(line[end...].dropFirst())
                else { continue }
                if line.hasPrefix("kubeproxy_sync_proxy_rules_endpoint_changes_total ")
                    || line.hasPrefix("kubeproxy_sync_proxy_rules_service_changes_total ")
                {
                    counts.changes += Int(value)
                } else if line.hasPrefix("needletail_elements_changed_total{") {
                    counts.elements += Int(value)
                }
            }
            return counts
        }
    }

    /// Waits until the daemon has counted so many changes since its start; returns when the kernel last got other
    /// rules, nil if it did not meanwhile.
    func waitUntilProgrammed(changes: Int) throws -> ContinuousClock.Instant? {
        let begin = ContinuousClock.now
        var (generation, asked) = (try generations.current, begin)
        var last: ContinuousClock.Instant?
        while true {
            usleep(200)
            let (current, now) = (try generations.current, ContinuousClock.now)
            if current != generation { (generation, last) = (current, now) }
            // Asking costs the daemon time, which is not the burst's.
            guard now - max(last ?? begin, asked) > .milliseconds(20) else { continue }
            let counts = try counts
            asked = .now
            if counts.changes >= changes, try generations.current == generation { return last }
            guard now - begin < .seconds(300) else {
                throw LabError("\(changes - counts.changes) changes are not programmed")
            }
        }
    }

    /// The generation of the kernel's rules, which grows by one with each transaction.
    var generation: UInt32 { get throws { try generations.current } }

    /// The commits so far, those of the start as one, once the log has so many elements.
    func commits(elements: Int) throws -> [LoggedCommit] {
        var commits: [LoggedCommit] = []
        try waitUntil("the log has not all commits") {
            let text = try String(contentsOfFile: log, encoding: .utf8)
            commits = text.split(separator: "\n").compactMap(LoggedCommit.init)
            return commits.reduce(0) { $0 + $1.elements } == elements
        }
        return commits
    }
}

/// A commit, as the daemon's log has it.
struct LoggedCommit {
    private(set) var elements = 0
    private(set) var bytes = 0

    /// Reads a line of the log; nil if it is of something else.
    init?(_ line: some StringProtocol) {
        guard line.contains(" needletail: synced ") else { return nil }
        for word in line.split(separator: " ") {
            let parts = word.split(separator: "=")
            guard parts.count == 2, let value = Int(parts[1]) else { continue }
            switch parts[0] {
            case "added", "removed": elements += value
            case "bytes": bytes += value
            default: break
            }
        }
    }
}

/// Asks for the generation of the rules in a namespace.
private final class Generations {
    private var socket: NetlinkSocket

    init() throws { socket = try NetlinkSocket(.netfilter) }

    var current: UInt32 { get throws { try RulesetListener.generation(&socket) } }
}
