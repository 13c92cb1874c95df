internal import FoundationEssentials
internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes

/// Measures how long transactions of nf_tables keep connections from being established.
///
/// A thread with a real-time priority connects through a Service every 50 µs, while another
/// processor commits elements to a set that these connections look up.
struct CommitStallBench {
    /// Elements of a transaction.
    var sizes = [1, 100, 5000, 50_000]
    var services = 1000
    /// Transactions of each size; half of them add elements, and half remove them.
    var commits = 20

    struct Row: Encodable {
        let elements: Int
        /// Milliseconds that nft took: the program, and the kernel.
        let commit: Double
        /// Milliseconds between two connections: the largest of each commit, their median and the
        /// largest of all.
        let gap, largestGap: Double
        /// The same while nothing is committed, in spans as long as the commits.
        let quietGap, largestQuietGap: Double
    }

    func run() async throws -> [Row] {
        guard !sizes.isEmpty else { return [] }
        var plans = ConnectionServices()
        plans.add(services, endpoints: 5)
        let scene = try await ConnectionScene(.needletail, plans.plans)
        return try sizes.map { try measure($0, scene.path) }
    }

    private func measure(_ size: Int, _ path: ConnectionPath) throws -> Row {
        let files = try ["add", "delete"].map { try write($0, size) }
        defer { for file in files { unlink(file) } }
        let sender = ConnectionSender(path, to: ConnectionServices.vip(0))
        var (spans, quiet): ([Span], [Span]) = ([], [])
        for index in 0..<commits {
            let span = try Span(of: {
                try path.node.run(["taskset", "-c", "1", "nft", "-f", files[index % 2]])
            })
            spans.append(span)
            usleep(2000)
            // What is quiet is as long as what is not.
            quiet.append(Span(of: { usleep(useconds_t(span.length / 1000)) }))
        }
        let ends = try sender.stop()
        let gaps = Percentiles(spans.map { $0.largestGap(ends) })
        let quietGaps = Percentiles(quiet.map { $0.largestGap(ends) })
        let milliseconds = { (time: Int) in Double(time) / 1e6 }
        return Row(
            elements: size,
            commit: milliseconds(Percentiles(spans.map(\.length)).median),
            gap: milliseconds(gaps.median),
            largestGap: milliseconds(gaps.largest),
            quietGap: milliseconds(quietGaps.median),
            largestQuietGap: milliseconds(quietGaps.largest)
        )
    }

    private func write(_ verb: String, _ size: Int) throws -> String {
        let file = "/tmp/needletail-bench-\(getpid())-\(verb).nft"
        let addresses = (0..<UInt32(size)).map { "\(IPAddress(ipv4: 0x0A66_0000 + $0))" }
        let text =
            "\(verb) element ip needletail cluster-ips { \(addresses.joined(separator: ", ")) }\n"
        try Data(text.utf8).write(to: URL(filePath: file))
        return file
    }
}

/// A span of time, in nanoseconds.
private struct Span {
    let begin, end: Int
    var length: Int { end - begin }

    init(of body: () throws -> Void) rethrows {
        begin = monotonicTime()
        try body()
        end = monotonicTime()
    }

    /// Returns the largest distance of two neighbours, one of which at least is in the span.
    func largestGap(_ times: [Int]) -> Int {
        zip(times, times.dropFirst()).filter { $1 >= begin && $0 <= end }.map { $1 - $0 }.max()
            ?? length
    }
}
