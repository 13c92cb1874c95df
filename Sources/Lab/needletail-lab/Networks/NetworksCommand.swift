internal import ArgumentParser
internal import Glibc
internal import NetworkTypes

struct NetworksCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "networks",
        abstract: "Check the same Services on every kind of pod network, with real packets."
    )

    @Option(help: "A kind to check; may be repeated. Default: all.")
    var network: [NetworkKind] = []

    @Option(
        help: "A mode to check, nftables or ipvs; may be repeated. Default: what the kernel has."
    )
    var mode: [ProxyMode] = []

    @Option(help: "The number of nodes of each cluster, 2 to 9.")
    var nodes = 3

    func validate() throws {
        guard 2...9 ~= nodes else { throw ValidationError("--nodes is a number from 2 to 9") }
    }

    func run() async throws {
        let hasIPVS = access("/proc/net/ip_vs", F_OK) == 0
        let modes = mode.isEmpty ? (hasIPVS ? ProxyMode.allCases : [.nftables]) : mode
        var table = NetworkTable()
        if let lack = IngressServer.lack {
            print("ingress: left out, \(lack)")
            table.lacks.append(("ingress", lack))
        }
        for kind in network.isEmpty ? NetworkKind.allCases : network {
            if let lack = kind.lack {
                print("\(kind.rawValue): left out, \(lack)")
                table.lacks.append((kind.rawValue, lack))
                continue
            }
            for mode in modes { try await check(kind, mode, &table) }
        }
        print("\n" + table.text)
        guard table.failures == 0 else { throw ExitCode.failure }
    }

    private func check(
        _ kind: NetworkKind,
        _ mode: ProxyMode,
        _ table: inout NetworkTable
    ) async throws {
        let run = NetworkRun(kind: kind, mode: mode, nodeCount: nodes)
        try await run.check(kind.families) { family, results in
            let title = "\(kind.rawValue), \(mode.rawValue), \(family)"
            for (name, result) in results {
                table.add(title, result)
                if case .failed(let reason) = result { print("  failed: \(name): \(reason)") }
            }
            print("\(title): \(table.summary(title))")
            fflush(nil)
        }
    }
}

/// One cluster with a kind of network, from its beginning to its end.
struct NetworkRun {
    let kind: NetworkKind
    let mode: ProxyMode
    let nodeCount: Int

    /// The names of all checks, in their order.
    static let names = NetworkChecks.names + DetectionChecks.names

    /// Checks families of the network, and hands over each one's results.
    func check(
        _ families: [IPFamily],
        _ report: (IPFamily, [(name: String, result: NetworkChecks.Result)]) -> Void
    ) async throws {
        try await inside { cluster, services in
            var results: [IPFamily: [(name: String, result: NetworkChecks.Result)]] = [:]
            for family in families {
                let checks = try NetworkChecks(cluster, services, family, mode)
                try checks.waitUntilProgrammed()
                try await checks.run { results[family, default: []].append(($0, $1)) }
            }
            try DetectionChecks(cluster, services, families, mode).run { name, family, result in
                results[family, default: []].append((name, result))
            }
            for family in families { report(family, results[family] ?? []) }
        }
    }

    /// Builds the cluster, with the Services of the checks, and takes it down after the body.
    func inside<Value>(
        _ body: (Cluster, NetworkServices) async throws -> Value
    ) async throws -> Value {
        var layout = ClusterLayout(nodeCount: nodeCount)
        layout.addIngress()
        let cluster = try Cluster(layout, network: kind)
        let interrupts = onInterrupt { cluster.tearDown() }
        defer { withExtendedLifetime(interrupts) { cluster.tearDown() } }
        do {
            let services = NetworkServices(cluster.topology)
            try cluster.startAPI()
            try await cluster.create(services.objects, loadBalancers: services.loadBalancers)
            try cluster.startProxies(mode: mode)
            if IngressServer.lack == nil {
                try cluster.startIngress(NetworkChecks.ingressRules(services))
            }
            return try await body(cluster, services)
        } catch {
            print("\(kind.rawValue), \(mode.rawValue): \(error)\n\(cluster.logs)")
            throw ExitCode.failure
        }
    }
}

/// The results of all networks.
struct NetworkTable {
    private var rows: [(title: String, results: [NetworkChecks.Result])] = []
    /// What was left out, and why.
    var lacks: [(kind: String, reason: String)] = []

    mutating func add(_ title: String, _ result: NetworkChecks.Result) {
        if rows.last?.title != title { rows.append((title, [])) }
        rows[rows.count - 1].results.append(result)
    }

    var failures: Int { rows.reduce(0) { $0 + Self.count($1.results).failed } }

    func summary(_ title: String) -> String {
        let (passed, failed) = Self.count(rows.first { $0.title == title }?.results ?? [])
        return "\(passed) passed, \(failed) failed"
    }

    private static func count(_ results: [NetworkChecks.Result]) -> (passed: Int, failed: Int) {
        results.reduce(into: (0, 0)) {
            switch $1 {
            case .passed: $0.0 += 1
            case .failed: $0.1 += 1
            case .left: break
            }
        }
    }

    private static func letter(_ position: Int) -> String {
        String(UnicodeScalar(UInt8(ascii: "a") + UInt8(position)))
    }

    /// The table in Markdown: a row for each network, a column for each check by its number.
    ///
    /// A letter stands for the reason why a check does not apply.
    var text: String {
        let numbers = NetworkRun.names.indices.map { "\($0 + 1)" }
        var reasons: [String] = []
        var lines = [
            "| network, mode, family | " + numbers.joined(separator: " | ") + " |",
            "|---|" + String(repeating: "---|", count: numbers.count),
        ]
        for (title, results) in rows {
            let cells = results.map { result -> String in
                switch result {
                case .passed: return "✓"
                case .failed: return "✗"
                case .left(let reason):
                    if !reasons.contains(reason) { reasons.append(reason) }
                    return Self.letter(reasons.firstIndex(of: reason) ?? 0)
                }
            }
            lines.append("| \(title) | " + cells.joined(separator: " | ") + " |")
        }
        lines.append("")
        lines += NetworkRun.names.enumerated().map { "\($0 + 1). \($1)" }
        lines.append("")
        lines += reasons.enumerated().map { "- \(Self.letter($0)): \($1)" }
        if !lacks.isEmpty {
            lines += ["", "Left out:"] + lacks.map { "\($0.kind): \($0.reason)" }
        }
        return lines.joined(separator: "\n")
    }
}
