internal import EmbeddedAPIServer
internal import FoundationEssentials
internal import Glibc

/// Measures a daemon that follows an API server, as a node runs it: what starting, changes and a restart
/// take, and how much memory it has.
struct DaemonBench {
    let shapes: [ClusterShape]
    let changes: Int

    /// Times are in milliseconds, memory in bytes.
    struct Row: Encodable {
        let services, endpoints: Int
        /// From the start of the process until all is programmed, and of that, until the lists had arrived; from then
        /// on until the first Services were programmed and all were.
        let start, lists, first, all: Double
        let startProcessor: Double
        let resident, peak: Int
        /// Of a change, until the kernel has it.
        let median, slowest: Double
        let changeProcessor: Double
        let residentAfterChanges: Int
        let restart, restartProcessor: Double
    }

    func run() throws -> [Row] {
        print(
            """

            The daemon with an API server on loopback, by Services and endpoints of each. Times are from the \
            start of the process until all is programmed, of which the lists, and from their arrival until the \
            API server's Service and DNS are programmed and all are; and from an object's change in the API \
            server until the kernel has it. The server's own work is included.

            """
        )
        print(
            "cluster".leftPadded(10) + "start".leftPadded(12) + "lists".leftPadded(12)
                + "first".leftPadded(10) + "all".leftPadded(12) + "CPU".leftPadded(12)
                + "RSS".leftPadded(9) + "peak".leftPadded(9) + "change p50".leftPadded(12)
                + "p99".leftPadded(10) + "CPU".leftPadded(10) + "RSS".leftPadded(9)
                + "restart".leftPadded(12) + "CPU".leftPadded(12)
        )
        return try shapes.map { shape in
            let row = try measure(shape)
            print(row.text)
            fflush(nil)
            return row
        }
    }

    private func measure(_ shape: ClusterShape) throws -> Row {
        let cluster = try BenchCluster(shape)
        defer { cluster.server.stop() }
        let first = try MeasuredDaemon(cluster)
        let start = try first.waitUntilReady()
        let phases = try first.startPhases()
        let (startTime, rested) = (first.processorTime, try first.memory)
        let latencies = try (1...changes).map { round in
            try first.latency {
                try cluster.objects.applySlice(
                    round * 7919 % shape.services,
                    replaced: round,
                    to: cluster.server
                )
            }
        }
        .sorted()
        let spent = first.processorTime - startTime
        let later = try first.memory
        first.stop()
        let second = try MeasuredDaemon(cluster)
        let restart = try second.waitUntilReady()
        let restartTime = second.processorTime
        second.stop()
        return Row(
            services: shape.services,
            endpoints: shape.endpoints,
            start: start.milliseconds,
            lists: phases.lists,
            first: phases.first,
            all: phases.all,
            startProcessor: startTime.milliseconds,
            resident: rested.resident,
            peak: rested.peak,
            median: latencies[latencies.count / 2].milliseconds,
            slowest: latencies[latencies.count * 99 / 100].milliseconds,
            changeProcessor: (spent / changes).milliseconds,
            residentAfterChanges: later.resident,
            restart: restart.milliseconds,
            restartProcessor: restartTime.milliseconds
        )
    }
}

extension DaemonBench.Row {
    fileprivate var text: String {
        let time = { (value: Double) in Duration.milliseconds(value).formattedMilliseconds }
        let short = { (value: Double) in Duration.milliseconds(value).formattedHundredths }
        let memory = { (bytes: Int) in "\(bytes >> 20) MiB".leftPadded(9) }
        let shape = ClusterShape(services: services, endpoints: endpoints)
        return [
            "\(shape)".leftPadded(10), time(start).leftPadded(12), time(lists).leftPadded(12),
            time(first).leftPadded(10), time(all).leftPadded(12),
            time(startProcessor).leftPadded(12), memory(resident), memory(peak),
            short(median).leftPadded(12), short(slowest).leftPadded(10),
            short(changeProcessor).leftPadded(10), memory(residentAfterChanges),
            time(restart).leftPadded(12), time(restartProcessor).leftPadded(12),
        ].joined()
    }
}
