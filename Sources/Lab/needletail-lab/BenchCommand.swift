internal import ArgumentParser
internal import Backend
internal import FoundationEssentials
internal import IPVSKernel
internal import Logging
internal import NFTablesKernel
internal import NetworkNamespaces
internal import NetworkTypes
internal import ServicePlan

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure transactions of growing clusters, and reading them from an API server."
    )

    @Option(help: "Numbers of Services, comma separated.")
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

    @Option(help: "Numbers of Services that a daemon follows, comma separated; 0 for none.")
    var followed = "1000,10000,50000"

    @Option(help: "A file for a picture of what changes take.")
    var plot: String?

    func run() async throws {
        try await transactions()
        let rows = try DaemonBench(
            sizes: followed.split(separator: ",").compactMap { Int($0) },
            endpoints: endpoints,
            changes: 4 * changes
        ).run()
        if let plot {
            try Data(LatencyPlot(rows).svg.utf8).write(to: URL(filePath: plot))
        }
        if explained > 0 { try ExplainBench(services: explained, endpoints: endpoints).run() }
        if objects > 0 { try ReadingBench(objects: objects, endpoints: endpoints).run() }
    }

    private func transactions() async throws {
        print(
            "Services with \(endpoints) endpoints each; times include encoding, the kernel and its answer.\n"
        )
        print(
            "services".leftPadded(9) + "start".leftPadded(12) + "bytes".leftPadded(12)
                + "elements".leftPadded(10) + "restart".leftPadded(12) + "one change".leftPadded(13)
                + "bytes".leftPadded(8) + "elements".leftPadded(10)
        )
        for size in services.split(separator: ",").compactMap({ Int($0) }) {
            try await measure(size)
        }
    }

    private func measure(_ size: Int) async throws {
        let namespace = try NetworkNamespace()
        try namespace.ip(["link set lo up"])
        // The backend's sockets stay in the namespace in which they were opened.
        let backend = try namespace.inside { try mode.backend() }
        let node = NodeFacts()
        var plans = (0..<size).map { plan($0, replaced: 0) }
        let clock = ContinuousClock()
        var start = CommitReport()
        let startTime = try await clock.measure {
            start = try await backend.adopt(plans, node: node)
        }
        var restart = CommitReport()
        let restartTime = try await clock.measure {
            restart = try await backend.adopt(plans, node: node)
        }
        guard restart.isEmpty else { throw LabError("a second sync found something to change") }
        var times: [Duration] = []
        var last = CommitReport()
        for round in 1...changes {
            let index = (round * 7919) % size
            let new = plan(index, replaced: round)
            let change = PlanChange(new.service, old: plans[index], new: new)
            plans[index] = new
            times.append(
                try await clock.measure {
                    last = try await backend.commit([change], node: node)
                }
            )
        }
        times.sort()
        print(
            "\(size)".leftPadded(9) + startTime.formattedMilliseconds.leftPadded(12)
                + "\(start.bytes)".leftPadded(12) + "\(start.elementsAdded)".leftPadded(10)
                + restartTime.formattedMilliseconds.leftPadded(12)
                + times[times.count / 2].formattedHundredths.leftPadded(13)
                + "\(last.bytes)".leftPadded(8)
                + "\(last.elementsAdded + last.elementsRemoved + last.serversChanged)"
                .leftPadded(10)
        )
    }

    /// Returns a Service with a cluster IP; each round replaces one of its endpoints.
    private func plan(_ index: Int, replaced round: Int) -> ServicePlan {
        let pods = (0..<endpoints).map { number in
            let host = number == 0 ? UInt32(round % 200) : UInt32(200 + number)
            return Endpoint(
                IPAddress(ipv4: 0x0A80_0000 + UInt32(index) << 8 + host),
                8080,
                isLocal: false
            )
        }
        let frontend = Frontend(
            key: FrontendKey(IPAddress(ipv4: 0x0A60_0001 + UInt32(index)), .tcp, 80),
            kind: .clusterIP,
            portName: "http",
            action: .balance(pool: 0),
            masquerade: .nonPods
        )
        return ServicePlan(
            service: "bench/service-\(index)",
            frontends: [frontend],
            pools: [Pool(pods.sorted())]
        )
    }
}

extension ProxyMode {
    fileprivate func backend() throws -> any Backend {
        let logger = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
        let tables = try TableProgrammer(families: [.ipv4, .ipv6], logger: logger)
        guard self == .ipvs else { return NFTablesBackend(tables) }
        return try IPVSBackend(policy: tables, IPVSSettings(), logger: logger)
    }
}
