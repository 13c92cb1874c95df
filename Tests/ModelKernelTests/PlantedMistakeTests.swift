import ModelKernel
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// A comparison that finds nothing proves nothing: every mistake in the rules must be found by it.
@Suite struct PlantedMistakeTests {
    /// Clusters with packets, and what their plans say about them.
    private struct Sample {
        let cluster: RandomCluster
        let cases: [(packet: Packet, tracking: Tracking, verdict: PlanOracle.Verdict)]

        init(seed: UInt64, _ role: TableRole) throws {
            let detection = RandomCluster.detections[Int(seed) % 4]
            var cluster = try RandomCluster(seed: seed, detection, role: role)
            let oracle = PlanOracle(cluster)
            cases = (0..<150).map { _ in
                let (packet, tracking) = cluster.packet()
                return (packet, tracking, oracle.verdict(packet, tracking))
            }
            self.cluster = cluster
        }

        /// Whether some packet does not do what the plans say, with a mistake.
        func finds(_ mistake: Mistake) throws -> Bool {
            var kernel = cluster.kernel
            try kernel.tamper(with: Ruleset.TableID(cluster.family), mistake.make)
            let evaluator = Evaluator(kernel.ruleset, routing: cluster.routing)
            return !cases.allSatisfy { packet, tracking, verdict in
                verdict.allows(evaluator.possibilities(of: packet, tracking))
            }
        }
    }

    private func check(_ role: TableRole, exceptions: Set<String>) throws {
        let samples = try (0..<8).map { try Sample(seed: 1000 + $0, role) }
        let tables = samples.compactMap { sample in
            sample.cluster.kernel.ruleset.tables[Ruleset.TableID(sample.cluster.family)]
        }
        var found: [String: Bool] = [:]
        for (sample, table) in zip(samples, tables) {
            for mistake in Mistake.all(in: table) where found[mistake.name] != true {
                found[mistake.name] = try sample.finds(mistake)
            }
        }
        #expect(found.count > 100)
        let missed = found.filter { !$0.value }.keys.sorted()
        #expect(Set(missed) == exceptions, "\(found.count): \(missed)")
    }

    @Test func `every mistake in the rules of mode nftables is found`() throws {
        try check(.balancer, exceptions: [])
    }

    @Test func `every mistake in the rules of mode ipvs is found`() throws {
        try check(.policy, exceptions: [])
    }
}
