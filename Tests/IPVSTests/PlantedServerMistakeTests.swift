@testable import IPVS
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// What IPVS does with packets, compared with what the plans say.
@Suite struct PlantedServerMistakeTests {
    @Test(arguments: 0..<24 as Range<UInt64>)
    func `virtual servers give the destinations and shares of the plans`(seed: UInt64) throws {
        let sample = try ServerSample(seed: seed)
        let oracle = ServerOracle(sample.plans.values)
        for key in sample.keys + sample.kernel.servers.keys {
            #expect(
                oracle.allows(sample.kernel, at: key),
                """
                seed \(seed), \(key): \(String(describing: sample.kernel.answer(key))) instead of \
                \(String(describing: oracle.expectation(key)?.answer))
                """
            )
        }
        let families = Set(sample.kernel.servers.keys.map(\.address.family))
        #expect(families == [.ipv4, .ipv6], "seed \(seed) tests too little")
    }

    @Test(arguments: 0..<12 as Range<UInt64>)
    func `after any changes, the servers are those of a fresh start`(seed: UInt64) throws {
        var sample = try ServerSample(seed: seed)
        for step in 0..<20 {
            sample.change()
            guard step % 4 == 0 else { continue }
            let oracle = ServerOracle(sample.plans.values)
            // Until the last connections end, there may be more; new connections see nothing of it.
            for key in oracle.frontends.keys {
                let (expected, answer) = (oracle.expectation(key), sample.kernel.answer(key))
                guard let expected else { continue }
                let drains = answer.map { $0.kept.count > expected.open.count } ?? false
                if !(expected.isHash && drains) {
                    #expect(answer?.shares == expected.answer.shares, "seed \(seed), \(key)")
                }
                #expect(answer?.refuses == expected.answer.refuses, "seed \(seed), \(key)")
                #expect(answer?.memory == expected.answer.memory, "seed \(seed), \(key)")
                #expect(answer?.kept.isSuperset(of: expected.answer.kept) == true)
            }
        }
        sample.settle()
        var (fresh, kernel) = (ServerSample.emptyTable, ModelIPVS())
        kernel.perform(
            fresh.apply(
                sample.plans.values.map { PlanChange($0.service, old: nil, new: $0) },
                now: 0
            )
        )
        #expect(sample.kernel.contents == kernel.contents, "seed \(seed)")
        let oracle = ServerOracle(sample.plans.values)
        for key in sample.keys + sample.kernel.servers.keys {
            #expect(oracle.allows(sample.kernel, at: key), "seed \(seed), \(key)")
        }
    }

    @Test func `every mistake in the servers is found`() throws {
        var found: [String: Int] = [:]
        var skipped: [String: Set<String>] = [:]
        for seed in UInt64(1000)..<1012 {
            let sample = try ServerSample(seed: seed)
            let oracle = ServerOracle(sample.plans.values)
            // In servers with very many destinations, there are no other mistakes to make.
            for (key, server) in sample.kernel.servers where server.targets.count <= 12 {
                let expected = try #require(oracle.expectation(key))
                for mistake in ServerMistake.all(key, server, expected) {
                    found[mistake.kind, default: 0] += 0
                    var kernel = sample.kernel
                    mistake.make(&kernel)
                    let isFound = !oracle.allows(kernel, at: mistake.key)
                    let reason = mistake.reason
                    // What nobody can tell must have been skipped for a good reason.
                    #expect(
                        isFound == (reason == nil),
                        "seed \(seed), \(key): \(mistake.kind) (\(reason ?? "it shows"))"
                    )
                    found[mistake.kind, default: 0] += isFound ? 1 : 0
                    if let reason { skipped[mistake.kind, default: []].insert(reason) }
                }
            }
        }
        let never = found.filter { $0.value == 0 }.keys.sorted()
        #expect(found.count == 27 && never == [], "\(found); skipped: \(skipped)")
    }
}
