internal import ArgumentParser
internal import FoundationEssentials

struct ConnectionBenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-connections",
        abstract:
            "Measure new connections under kube-proxy's layout of rules and under needletail's.",
        discussion: """
            A client, a node and a pod are network namespaces in a row, one row for each layout and \
            cluster; one thread plays both ends, with a real-time priority. A connection is set up \
            once the handshake is over; the pod accepts and resets it. kube-proxy's layout is that \
            of 1.36 in mode nftables, loaded by nft; needletail's is made by its backend.

            All cases are measured in turn, in short rounds. Ratios are medians of the rounds' \
            quotients; compare them, not times of different runs.
            """
    )

    @Option(help: "Numbers of Services, comma separated, from small to large.")
    var services = "10,1000,50000"

    @Option(
        help:
            "The most Services for which kube-proxy's layout is loaded; sizes above it are compared with it."
    )
    var largestChains = 10_000

    @Option(help: "Rounds of each case.")
    var rounds = 100

    @Option(help: "Connections of each round.")
    var connections = 100

    @Option(help: "Clients that a Service with ClientIP affinity remembers.")
    var clients = 100_000

    @Option(help: "Blocks in loadBalancerSourceRanges.")
    var sourceRanges = 10_000

    @Option(
        help:
            "Elements of transactions during which connections are opened, comma separated; empty for none."
    )
    var commits = "1,100,5000,50000"

    @Option(help: "A file for the results in JSON.")
    var json: String?

    func run() async throws {
        let bench = ConnectionBench(
            sizes: numbers(services),
            largestChains: largestChains,
            rounds: rounds,
            connections: connections,
            rememberedClients: clients,
            sourcePrefixes: sourceRanges
        )
        let report = ConnectionReport(
            connections: try await bench.run(),
            commits: try await CommitStallBench(sizes: numbers(commits)).run()
        )
        print(report.text)
        if let json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            try encoder.encode(report).write(to: URL(filePath: json))
        }
    }

    func validate() throws {
        guard !numbers(services).isEmpty, rounds > 0, connections > 0, clients > 0,
            (1...10_000).contains(sourceRanges), clients <= 200_000
        else {
            throw ValidationError(
                "numbers must be positive; there are 10,000 source ranges and 200,000 clients at most"
            )
        }
    }

    private func numbers(_ text: String) -> [Int] {
        text.split(separator: ",").compactMap { Int($0) }
    }
}

/// What was measured, as a table and as JSON.
struct ConnectionReport: Encodable {
    let connections: [ConnectionBench.Row]
    let commits: [CommitStallBench.Row]

    var text: String {
        var lines = [
            "Connections from a pod through a node to a pod; µs until established, ratios of medians.",
            "",
            "to".padded(38) + "rules".padded(11) + "Services".leftPadded(9) + "p50".leftPadded(8)
                + "p99".leftPadded(8) + "new/s".leftPadded(8) + "round trips/s".leftPadded(15)
                + "of kube-proxy".leftPadded(15) + "of smallest".leftPadded(13),
        ]
        lines += connections.map { row in
            row.name.padded(38) + row.layout.rawValue.padded(11) + "\(row.services)".leftPadded(9)
                + row.median.tenths.leftPadded(8) + row.p99.tenths.leftPadded(8)
                + "\(Int(row.perSecond))".leftPadded(8)
                + "\(Int(row.exchangesPerSecond))".leftPadded(15)
                + (row.relativeToKubeProxy?.thousandths ?? "").leftPadded(15)
                + (row.relativeToSmallest?.thousandths ?? "").leftPadded(13)
        }
        guard !commits.isEmpty else { return lines.joined(separator: "\n") }
        lines += [
            "", "The largest time without a new connection while nft commits elements, in ms.", "",
            "elements".leftPadded(9) + "commit".leftPadded(10) + "gap p50".leftPadded(10)
                + "largest".leftPadded(10) + "quiet p50".leftPadded(11) + "largest".leftPadded(10),
        ]
        lines += commits.map { row in
            "\(row.elements)".leftPadded(9) + row.commit.tenths.leftPadded(10)
                + row.gap.thousandths.leftPadded(10) + row.largestGap.thousandths.leftPadded(10)
                + row.quietGap.thousandths.leftPadded(11)
                + row.largestQuietGap.thousandths.leftPadded(10)
        }
        return lines.joined(separator: "\n")
    }
}

extension Double {
    fileprivate var tenths: String { rounded(to: 1) }
    fileprivate var thousandths: String { rounded(to: 3) }

    private func rounded(to digits: Int) -> String {
        let scale = (0..<digits).reduce(1) { value, _ in value * 10 }
        let whole = Int((self * Double(scale)).rounded())
        let fraction = "\(whole % scale)"
        return "\(whole / scale)." + String(repeating: "0", count: digits - fraction.count)
            + fraction
    }
}
