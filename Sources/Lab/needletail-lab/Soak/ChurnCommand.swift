internal import ArgumentParser
internal import EmbeddedAPIServer
internal import Glibc

/// Tests that a daemon holds no more after very many changes than after few.
struct ChurnCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "churn",
        abstract: "Create, change and delete objects, and watch what the daemon holds.",
        discussion: """
            Services, EndpointSlices and Nodes come, change and go, while other Services stay. After \
            each tenth of the changes all that came is deleted, and the daemon's memory, \
            descriptors, threads and journal and the kernel's elements and rules are counted. The \
            exit status is 1 if something is left in the kernel, if more is held at the end than \
            after the second tenth, or if a change was never programmed.
            """
    )

    @Option(help: "How many changes of objects, in thousands at least ten.")
    var changes = 1_000_000

    @Option(help: "Services with five endpoints that stay.")
    var services = 500

    @Option(help: "Repeats a run's random choices; nil: others each time.")
    var seed: UInt64?

    @Option(help: "Keep the daemon's log in this file.")
    var log = "/dev/null"

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0...(.max))
        print("seed \(seed), \(changes) changes\n\n\(ChurnFigures.heading)")
        let node = try SoakNode(log: log)
        defer { node.stop() }
        let staying = BenchObjects(endpoints: 5)
        // Addresses from 10.96.1.0 on.
        for index in 256..<256 + services { try staying.apply(index, to: node.server) }
        let victim = try Victim(node)
        try victim.waitUntilServed()
        var churn = try Churn(node, victim, seed: seed)
        let report = try churn.run(tenths: 10, of: changes)
        print("\nwhat other Services' changes took: \(victim.takeResults().text)")
        for problem in report.problems { print("FAILED: \(problem)") }
        guard report.problems.isEmpty else { throw ExitCode(1) }
    }
}

/// The changes of one run.
private struct Churn {
    private let node: SoakNode
    private let victim: Victim
    private var objects: ChurnedObjects
    private let before: ChurnFigures
    private let first: Int64

    /// Changes between two moments at which the daemon must have followed.
    private static let batch: Int64 = 1000

    init(_ node: SoakNode, _ victim: Victim, seed: UInt64) throws {
        (self.node, self.victim) = (node, victim)
        objects = ChurnedObjects(node.server, seed: seed)
        first = node.server.version
        before = try ChurnFigures(node, changes: 0)
        print(before.row)
        fflush(nil)
    }

    private var changes: Int { Int(node.server.version - first) }

    mutating func run(tenths: Int, of count: Int) throws -> ChurnReport {
        var figures: [ChurnFigures] = []
        for tenth in 1...tenths {
            while changes < count * tenth / tenths {
                let end = node.server.version + Self.batch
                while node.server.version < end { try objects.act() }
                victim.change()
                guard node.isRunning else { throw LabError("the daemon has ended; see --log") }
                // Old versions would take this machine's memory.
                node.server.compact()
            }
            try objects.removeAll()
            figures.append(try figuresAtRest())
            print(figures[figures.count - 1].row)
            fflush(nil)
        }
        return ChurnReport(before: before, figures: figures, lost: victim.lost)
    }

    /// Waits until the kernel and the daemon have what they had before, or a minute.
    ///
    /// The ports of health checks are closed some time after the rules are gone.
    private func figuresAtRest() throws -> ChurnFigures {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            let figures = try ChurnFigures(node, changes: changes)
            if figures.isLike(before) || .now > deadline {
                return figures
            }
            usleep(200_000)
        }
    }
}

/// What a run has shown, and the failures in it.
private struct ChurnReport {
    let before: ChurnFigures
    let figures: [ChurnFigures]
    let lost: Int

    /// Memory in bytes that the allocator keeps from larger moments, which a longer run sees more of.
    private static let memoryNoise = 4 << 20
    /// Bytes for each change: less than the smallest thing that could be left of one, a reference.
    private static let memoryPerChange = 4
    /// Threads that wait for work, of which the runtime has as many as there was work at a time.
    private static let threadNoise = 4
    /// Rules of sizes of pools, of which each has one in a chain, and of timeouts: those that no Service
    /// has any more stay until their chain changes.
    private static let ruleNoise = 24

    var problems: [String] {
        var problems: [String] = []
        for figures in figures where figures.kernel.elements != before.kernel.elements {
            problems.append(
                "\(figures.kernel.elements) elements after \(figures.changes) changes,"
                    + " \(before.kernel.elements) before"
            )
        }
        let early = figures[1]
        for late in figures.suffix(2) {
            let allowance =
                Self.memoryNoise + Self.memoryPerChange * (late.changes - early.changes)
            if late.held > early.held + allowance {
                problems.append(
                    "memory without the journal grew by \((late.held - early.held) >> 10) KiB"
                )
            }
            for (what, growth, noise) in [
                ("descriptors", late.descriptors - early.descriptors, ChurnFigures.descriptorNoise),
                ("threads", late.threads - early.threads, Self.threadNoise),
                ("rules", late.kernel.rules - early.kernel.rules, Self.ruleNoise),
            ] where growth > noise {
                problems.append("\(growth) more \(what) at the end")
            }
        }
        if lost > 0 { problems.append("\(lost) changes were never programmed") }
        return problems
    }
}
