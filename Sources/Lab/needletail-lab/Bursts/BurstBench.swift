internal import EmbeddedAPIServer
internal import Glibc
internal import NetworkTypes

/// Measures a daemon while very much changes in its cluster at a time.
struct BurstBench {
    let shape: ClusterShape
    /// Pods that a rolling restart replaces.
    let restarted: Int
    /// Changes of endpoints at a time.
    let changes: Int

    /// Times are in milliseconds, memory in bytes.
    struct Row: Encodable {
        let burst: String
        let services, endpoints: Int
        /// Changes of objects in the API.
        let changes: Int
        /// From the first change until the kernel has the final state; if nothing reaches it, until the daemon has
        /// seen everything.
        let time: Double
        let processor: Double
        let resident, peak: Int
        let commits: Int
        /// Elements added and removed in all commits, and in the largest one.
        let elements, largestCommit: Int
        /// Bytes of all transactions.
        let bytes: Int
    }

    func run() throws -> [Row] {
        print(
            """

            Bursts, in a cluster of \(shape.services) Services with \(shape.endpoints) endpoints each, followed \
            from an API server on loopback: until the kernel has the final state. After each burst needletail \
            diff finds no difference.

            """
        )
        print(
            "burst".padded(28) + "changes".leftPadded(8) + "time".leftPadded(12)
                + "CPU".leftPadded(12) + "RSS".leftPadded(9) + "peak".leftPadded(9)
                + "commits".leftPadded(9) + "elements".leftPadded(10) + "largest".leftPadded(9)
                + "bytes".leftPadded(10)
        )
        let cluster = try BenchCluster(shape)
        defer { cluster.server.stop() }
        let daemon = try MeasuredDaemon(cluster, logsCommits: true)
        defer { daemon.stop() }
        _ = try daemon.waitUntilReady()
        var pods = RestlessPods(cluster)
        return try Burst.allCases.map { burst in
            let row = try measure(burst, &pods, daemon)
            print(row.text)
            fflush(nil)
            return row
        }
    }

    private func measure(
        _ burst: Burst,
        _ pods: inout RestlessPods,
        _ daemon: MeasuredDaemon
    ) throws -> Row {
        let (before, generation) = (try daemon.counts, try daemon.generation)
        let known = try daemon.commits(elements: before.elements).count
        try daemon.forgetPeak()
        let processor = daemon.processorTime
        let (start, changes) = try perform(burst, &pods)
        let made = ContinuousClock.now
        let last = try daemon.waitUntilProgrammed(changes: before.changes + changes)
        // The last commit may have been over before anybody waited for it.
        let isQuiet = try daemon.generation == generation
        let end = last ?? (isQuiet ? .now : made)
        let spent = daemon.processorTime - processor
        let memory = try daemon.memory
        let commits = try daemon.commits(elements: daemon.counts.elements).dropFirst(known)
        try pods.cluster.expectNoDifference()
        pods.cluster.server.compact()
        return Row(
            burst: burst.rawValue,
            services: shape.services,
            endpoints: shape.endpoints,
            changes: changes,
            time: (end - start).milliseconds,
            processor: spent.milliseconds,
            resident: memory.resident,
            peak: memory.peak,
            commits: commits.count,
            elements: commits.reduce(0) { $0 + $1.elements },
            largestCommit: commits.map(\.elements).max() ?? 0,
            bytes: commits.reduce(0) { $0 + $1.bytes }
        )
    }

    /// Makes the changes of a burst; returns when the first of them could be seen, and their number.
    private func perform(
        _ burst: Burst,
        _ pods: inout RestlessPods
    ) throws -> (start: ContinuousClock.Instant, changes: Int) {
        let first = pods.changes
        var start = ContinuousClock.now
        switch burst {
        case .rollingRestart: try pods.restart(restarted)
        case .zoneLost, .zoneBack:
            try pods.cluster.server.together {
                try pods.setZone(burst == .zoneLost ? .notReady : .ready)
                start = .now
            }
        case .manyChanges:
            try pods.cluster.server.together {
                try pods.replace(changes)
                start = .now
            }
        case .expired:
            try pods.cluster.server.together {
                // Watches have not seen the last version when older ones are forgotten: they get 410.
                try pods.touch()
                pods.cluster.server.compact()
                start = .now
            }
        case .disconnected:
            pods.cluster.server.disconnect()
            try pods.touch()
        }
        return (start, pods.changes - first)
    }
}

/// Something that changes very much at a time, or makes the daemon read everything again.
enum Burst: String, CaseIterable {
    /// Pods become not ready, go, and are replaced, at the pace at which the API server takes the changes.
    case rollingRestart = "rolling restart"
    /// A third of all endpoints becomes not ready at once.
    case zoneLost = "a zone lost"
    case zoneBack = "the zone back"
    /// One endpoint of as many Services is replaced, all at once.
    case manyChanges = "changes within a second"
    /// Every watch ends with 410, and everything is listed again; the only changes are without consequence.
    case expired = "relist after 410 Gone"
    /// Every connection ends; the only changes are without consequence.
    case disconnected = "connections cut"
}

/// The pods of a cluster's Services, as they come and go.
struct RestlessPods {
    let cluster: BenchCluster
    private var pods: [[BenchObjects.Pod]]
    /// Changes of objects so far.
    private(set) var changes = 0
    private var rounds = 0

    /// Pods of a rolling restart that are replaced at the same time.
    private static let atATime = 64

    init(_ cluster: BenchCluster) {
        self.cluster = cluster
        pods = Array(repeating: cluster.objects.pods(), count: cluster.shape.services)
    }

    /// Replaces so many pods, each in three steps, and of all Services before another of the same.
    mutating func restart(_ count: Int) throws {
        let (services, endpoints) = (cluster.shape.services, cluster.shape.endpoints)
        let places = (0..<min(count, services * endpoints)).map { number in
            (service: number % services, place: number / services)
        }
        for start in stride(from: 0, to: places.count, by: Self.atATime) {
            let batch = places[start..<min(start + Self.atATime, places.count)]
            for condition in [BenchObjects.Pod.Condition.notReady, .gone, .ready] {
                for (service, place) in batch {
                    pods[service][place].condition = condition
                    if condition == .ready { pods[service][place].generation += 1 }
                    try write(service, place)
                }
            }
        }
    }

    /// Changes the condition of every third pod.
    mutating func setZone(_ condition: BenchObjects.Pod.Condition) throws {
        let size = BenchObjects.sliceSize
        for service in pods.indices {
            let places = pods[service].indices.filter { (service + $0) % 3 == 0 }
            for place in places { pods[service][place].condition = condition }
            for slice in Set(places.map { $0 / size }).sorted() {
                try write(service, slice * size)
            }
        }
    }

    /// Replaces the first pod of so many Services in turn.
    mutating func replace(_ count: Int) throws {
        for number in 0..<count {
            let service = number % pods.count
            pods[service][0].generation += 1
            try write(service, 0)
        }
    }

    /// Changes a Service and an EndpointSlice without a consequence.
    mutating func touch() throws {
        rounds += 1
        try cluster.objects.touch(0, pods[0], round: rounds, to: cluster.server)
        changes += 2
    }

    private mutating func write(_ service: Int, _ place: Int) throws {
        try cluster.objects.applySlice(
            service,
            with: place,
            of: pods[service],
            to: cluster.server
        )
        changes += 1
    }
}

extension BurstBench.Row {
    fileprivate var text: String {
        let time = { (value: Double) in
            Duration.milliseconds(value).formattedMilliseconds.leftPadded(12)
        }
        let memory = { (bytes: Int) in "\(bytes >> 20) MiB".leftPadded(9) }
        return [
            burst.padded(28), "\(changes)".leftPadded(8), time(self.time), time(processor),
            memory(resident), memory(peak), "\(commits)".leftPadded(9),
            "\(elements)".leftPadded(10), "\(largestCommit)".leftPadded(9),
            "\(bytes)".leftPadded(10),
        ].joined()
    }
}
