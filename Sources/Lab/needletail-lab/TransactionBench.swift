internal import Backend
internal import IPVSKernel
internal import Logging
internal import NFTablesKernel
internal import NetworkNamespaces
internal import NetworkTypes
internal import ServicePlan

/// Measures the transactions of growing clusters, from their plans to the kernel's answer.
struct TransactionBench {
    let sizes: [Int]
    let endpoints: Int
    /// Changes of one endpoint that are measured at each size.
    let changes: Int
    let mode: ProxyMode

    /// Times are in milliseconds.
    struct Row: Encodable {
        let services, endpoints: Int
        /// Of the first sync.
        let start: Double
        let bytes, elements: Int
        /// Of a second sync, which finds nothing to change.
        let restart: Double
        /// The median.
        let change: Double
        let changeBytes, changeElements: Int
    }

    func run() async throws -> [Row] {
        print(
            "Services with \(endpoints) endpoints each; times include encoding, the kernel and its answer.\n"
        )
        print(
            "services".leftPadded(9) + "start".leftPadded(12) + "bytes".leftPadded(12)
                + "elements".leftPadded(10) + "restart".leftPadded(12) + "one change".leftPadded(13)
                + "bytes".leftPadded(8) + "elements".leftPadded(10)
        )
        var rows: [Row] = []
        for size in sizes {
            let row = try await measure(size)
            print(row.text)
            rows.append(row)
        }
        return rows
    }

    private func measure(_ size: Int) async throws -> Row {
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
        return Row(
            services: size,
            endpoints: endpoints,
            start: startTime.milliseconds,
            bytes: start.bytes,
            elements: start.elementsAdded,
            restart: restartTime.milliseconds,
            change: times[times.count / 2].milliseconds,
            changeBytes: last.bytes,
            changeElements: last.elementsAdded + last.elementsRemoved + last.serversChanged
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

extension TransactionBench.Row {
    fileprivate var text: String {
        let time = { (value: Double) in
            Duration.milliseconds(value).formattedMilliseconds.leftPadded(12)
        }
        return "\(services)".leftPadded(9) + time(start) + "\(bytes)".leftPadded(12)
            + "\(elements)".leftPadded(10) + time(restart)
            + Duration.milliseconds(change).formattedHundredths.leftPadded(13)
            + "\(changeBytes)".leftPadded(8) + "\(changeElements)".leftPadded(10)
    }
}

extension ProxyMode {
    /// Opens the backend of this mode in the network namespace of this thread.
    func backend() throws -> any Backend {
        let logger = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
        let tables = try TableProgrammer(families: [.ipv4, .ipv6], logger: logger)
        guard self == .ipvs else { return NFTablesBackend(tables) }
        return try IPVSBackend(policy: tables, IPVSSettings(), logger: logger)
    }
}
