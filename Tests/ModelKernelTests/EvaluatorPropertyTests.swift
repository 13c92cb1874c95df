import ModelKernel
import ModelSupport
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// The rules do what the plans say: random Services, random packets.
@Suite struct EvaluatorPropertyTests {
    private static let packets = 80

    private func check(_ seed: UInt64, _ role: TableRole) throws {
        let detection = RandomCluster.detections[Int(seed / 2) % 4]
        var cluster = try RandomCluster(seed: seed, detection, role: role)
        let (evaluator, oracle) = (cluster.evaluator, PlanOracle(cluster))
        for _ in 0..<Self.packets {
            let (packet, tracking) = cluster.packet()
            let possibilities = evaluator.possibilities(of: packet, tracking)
            let verdict = oracle.verdict(packet, tracking)
            let isRight = verdict.allows(possibilities)
            #expect(isRight, "\(packet) \(tracking): \(possibilities), not \(verdict)")
        }
    }

    @Test(arguments: 0..<120 as Range<UInt64>)
    func `the rules do with a packet what the plans say`(seed: UInt64) throws {
        try check(seed, .balancer)
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `beside IPVS the rules do their part`(seed: UInt64) throws {
        try check(seed, .policy)
    }
}
