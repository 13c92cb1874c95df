internal import ArgumentParser
internal import FoundationEssentials

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract:
            "Measure transactions, a daemon in clusters of many shapes, bursts, and reading from an API server."
    )

    /// A part of the benchmarks.
    enum Part: String, CaseIterable, ExpressibleByArgument {
        case transactions, daemon, shapes, bursts, explain, reading
    }

    @Option(
        parsing: .upToNextOption,
        help:
            "The parts to run: transactions, daemon, shapes, bursts, explain, reading; all without it."
    )
    var only = Part.allCases

    @Option(help: "Numbers of Services of transactions, comma separated.")
    var services = "1,100,1000,10000,50000"

    @Option(help: "Endpoints of each Service.")
    var endpoints = 5

    @Option(help: "Changes of one endpoint that are measured at each size.")
    var changes = 50

    @Option(help: "What balances: nftables, or ipvs where the kernel has it.")
    var mode = ProxyMode.nftables

    @Option(help: "Services, and as many EndpointSlices, that are read from the API server.")
    var objects = 10_000

    @Option(help: "Services, one of which is explained.")
    var explained = 50_000

    @Option(help: "Numbers of Services that a daemon follows, comma separated.")
    var followed = "1000,10000,50000"

    @Option(
        parsing: .upToNextOption,
        help: "Other clusters, by Services and endpoints of each, such as 1000x250."
    )
    var shapes = [(50_000, 1), (1_000, 250), (1, 5_000)].map(ClusterShape.init)

    @Option(help: "The cluster of the bursts.")
    var burst = ClusterShape(services: 10_000, endpoints: 5)

    @Option(help: "Pods that the burst's rolling restart replaces.")
    var restarted = 5_000

    @Option(help: "Changes of the burst that has all of them within a second.")
    var burstChanges = 10_000

    @Option(help: "A file for a picture of what changes take.")
    var plot: String?

    @Option(help: "A file for the results of transactions, daemon, shapes and bursts in JSON.")
    var json: String?

    func run() async throws {
        var report = BenchReport()
        let sizes = { (text: String) in text.split(separator: ",").compactMap { Int($0) } }
        for part in Part.allCases where only.contains(part) {
            switch part {
            case .transactions:
                report.transactions = try await TransactionBench(
                    sizes: sizes(services),
                    endpoints: endpoints,
                    changes: changes,
                    mode: mode
                ).run()
            case .daemon:
                let clusters = sizes(followed).map {
                    ClusterShape(services: $0, endpoints: endpoints)
                }
                report.daemon = try DaemonBench(shapes: clusters, changes: 4 * changes).run()
            case .shapes:
                report.shapes = try DaemonBench(shapes: shapes, changes: 4 * changes).run()
                report.reconciler = try ReconcilerBench(shapes: shapes).run()
            case .bursts:
                report.bursts = try BurstBench(
                    shape: burst,
                    restarted: restarted,
                    changes: burstChanges
                ).run()
            case .explain: try ExplainBench(services: explained, endpoints: endpoints).run()
            case .reading: try ReadingBench(objects: objects, endpoints: endpoints).run()
            }
        }
        try write(report)
    }

    private func write(_ report: BenchReport) throws {
        if let plot {
            try Data(LatencyPlot(report.daemon).svg.utf8).write(to: URL(filePath: plot))
        }
        if let json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            try encoder.encode(report).write(to: URL(filePath: json))
        }
    }
}

/// What was measured; parts that were not run are empty.
struct BenchReport: Encodable {
    var transactions: [TransactionBench.Row] = []
    var daemon: [DaemonBench.Row] = []
    var shapes: [DaemonBench.Row] = []
    var reconciler: [ReconcilerBench.Row] = []
    var bursts: [BurstBench.Row] = []
}
