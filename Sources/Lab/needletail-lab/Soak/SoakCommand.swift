internal import ArgumentParser
internal import EmbeddedAPIServer
internal import Glibc

/// Tests needletail under a hostile tenant, floods, other writers, and then a broken API server.
struct SoakCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "soak",
        abstract: "Attack one node from all sides while another tenant's changes are measured.",
        discussion: """
            Four fifths of the time a tenant writes random objects that an API server admits, while \
            connections flood the health port and a Service with affinity; with "writer" another \
            program damages the rules as well. In the last fifth the API server itself fails in \
            every way. The exit status is 1 if another tenant's change was never programmed, a \
            health probe got no answer, memory grew without bound, or the daemon ended.
            """
    )

    @Option(help: "How long to attack.")
    var seconds = 600

    @Option(help: "Repeats a run's random choices; nil: others each time.")
    var seed: UInt64?

    @Option(help: "The attacks, some of: tenant, health, clients, writer, server.")
    var attacks = "tenant,health,clients,server"

    @Flag(help: "Fail also if another tenant's change takes more than a second (p99).")
    var strict = false

    @Option(help: "Keep the daemon's log in this file.")
    var log = "/dev/null"

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0...(.max))
        print("seed \(seed), \(seconds) s of \(attacks)")
        fflush(nil)
        let chosen = Set(attacks.split(separator: ",").map(String.init))
        let node = try SoakNode(log: log)
        defer { node.stop() }
        let victim = try Victim(node)
        try victim.waitUntilServed()
        let health = HealthProbes(node)
        let memory = MemoryWatch(node)
        let end = ContinuousClock.now + .seconds(seconds)
        let serverFrom = chosen.contains("server") ? end - .seconds(seconds / 5) : end

        let attackers = Attackers(node, chosen, seed: seed)
        attackers.start()
        while .now < serverFrom, node.isRunning { victim.change() }
        attackers.stop()
        let tenant = victim.takeResults()
        if chosen.contains("server") {
            var faults = HostileServer(node.server, seed: seed)
            while .now < end, node.isRunning {
                faults.strike(for: .seconds(5))
                victim.change()
            }
        }
        let server = victim.takeResults()
        health.stop()
        memory.stop()
        let report = SoakReport(
            tenant: tenant,
            server: server,
            health: health,
            memory: memory,
            objects: attackers.objects,
            isRunning: node.isRunning,
            isStrict: strict
        )
        print(report.text)
        guard report.problems.isEmpty else { throw ExitCode(1) }
    }
}

/// The results of a soak test, and the failures among them.
struct SoakReport {
    let tenant: Victim.Results
    let server: Victim.Results
    let health: HealthProbes
    let memory: MemoryWatch
    let objects: Int
    let isRunning: Bool
    let isStrict: Bool

    var text: String {
        var lines = [
            "hostile objects written            \(objects)",
            "another tenant's changes           \(tenant.text)",
            "  while the API server failed      \(server.text)",
            "health probes                      \(health.answered) answered, \(health.unanswered) not,"
                + " slowest \(health.slowest.formattedMilliseconds)",
            "memory                             \(memory.first >> 20) MiB at first,"
                + " \(memory.peak >> 20) MiB at most, \(memory.last >> 20) MiB at last",
        ]
        lines += problems.map { "FAILED: \($0)" }
        return lines.joined(separator: "\n")
    }

    var problems: [String] {
        var problems: [String] = []
        if !isRunning { problems.append("the daemon has ended") }
        if tenant.times.isEmpty { problems.append("no change of the other tenant was measured") }
        if isStrict, tenant.p99 > .seconds(1) {
            problems.append("another tenant's change takes \(tenant.p99.formattedMilliseconds)")
        }
        if tenant.lost + server.lost > 0 { problems.append("a change was never programmed") }
        if health.unanswered > 0 { problems.append("\(health.unanswered) health probes failed") }
        if memory.peak > memory.first + 256 << 20 {
            problems.append("memory grew by \((memory.peak - memory.first) >> 20) MiB")
        }
        return problems
    }
}
