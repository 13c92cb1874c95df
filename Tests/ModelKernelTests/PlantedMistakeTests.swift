import ModelKernel
import ModelSupport
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// A comparison that finds nothing proves nothing: every mistake in the rules must be found by it.
@Suite struct PlantedMistakeTests {
    /// Beginnings of the names of mistakes that change no packet's fate here, each for a reason.
    private static let harmless = [
        // Each of these two drops what the other one would let pass; the second is for packets that
        // come while the table is exchanged.
        "no-service 2", "no-service 3",
        // What is not translated, of connections to frontends, has been stopped before.
        "snat-postrouting 0, expression 1: another mask",
    ]

    /// A cluster with packets, and what its plans say about them.
    private struct Sample {
        private struct Case {
            let packet: Packet
            let tracking: Tracking
            let verdict: PlanOracle.Verdict
            /// The chains that matter to the packet.
            let chains: Set<String>
        }

        let cluster: RandomCluster
        private let cases: [Case]

        init(seed: UInt64) throws {
            let detection = RandomCluster.detections[Int(seed / 2) % 4]
            var cluster = try RandomCluster(seed: seed, detection)
            let (oracle, evaluator) = (PlanOracle(cluster), cluster.evaluator)
            let dropped = cluster.packetsToDropped(atMost: 40).map { ($0, Tracking.new) }
            let packets = dropped + (0..<200).map { _ in cluster.packet() }
            cases = packets.map { packet, tracking in
                let rules = evaluator.possibilities(of: packet, tracking).flatMap(\.rules)
                return Case(
                    packet: packet,
                    tracking: tracking,
                    verdict: oracle.verdict(packet, tracking),
                    chains: Set(rules.map(\.chain))
                )
            }
            self.cluster = cluster
        }

        var mistakes: [Mistake] {
            let table = cluster.kernel.ruleset.tables[Ruleset.TableID(cluster.family)]
            return table.map(Mistake.all) ?? []
        }

        /// Whether some packet does not do what the plans say, with a mistake.
        func finds(_ mistake: Mistake) throws -> Bool {
            var kernel = cluster.kernel
            try kernel.tamper(with: Ruleset.TableID(cluster.family), mistake.make)
            let evaluator = Evaluator(kernel.ruleset, routing: cluster.routing)
            // Those that came through the chain are the first to tell.
            let likely = mistake.chain.map { chain in cases.filter { $0.chains.contains(chain) } }
            let others = cases.filter { mistake.chain.map($0.chains.contains) != true }
            let chosen = likely.map { $0.prefix(100) + others.prefix(20) } ?? others[...]
            return !chosen.allSatisfy {
                $0.verdict.allows(evaluator.possibilities(of: $0.packet, $0.tracking))
            }
        }
    }

    /// The mistakes are shared out by their names, so that several processors look for them.
    @Test(arguments: 0..<4)
    func `every mistake in the rules is found`(quarter: Int) throws {
        var found: [String: Bool] = [:]
        for seed in UInt64(1000)..<1060 where seed < 1016 || found.values.contains(false) {
            let sample = try Sample(seed: seed)
            for mistake in sample.mistakes where found[mistake.name] != true {
                guard !Self.harmless.contains(where: mistake.name.hasPrefix),
                    mistake.name.utf8.reduce(0, { $0 + Int($1) }) % 4 == quarter
                else { continue }
                found[mistake.name] = try sample.finds(mistake)
            }
        }
        let missed = found.filter { !$0.value }.keys.sorted()
        #expect(found.count > 60 && missed == [], "\(missed) of \(found.count)")
    }
}
