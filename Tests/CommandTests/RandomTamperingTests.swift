import Backend
import FoundationEssentials
import ModelKernel
import ModelSupport
import NFTables
import NFTablesKernel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

@testable import needletail

/// Whatever is done to a node: `explain` is not wrong about it.
///
/// What really happens to connections is told by `ConcreteKernel`, and what is wanted by the same
/// before anything was done.
@Suite struct RandomTamperingTests {
    /// The number of things that are done, four to each connection.
    private static let count =
        ProcessInfo.processInfo.environment["NEEDLETAIL_HISTORIES"].flatMap(UInt64.init) ?? 400
    private static let rounds: UInt64 = 4
    private static let shares: UInt64 = 4

    /// One connection on a node.
    private struct Sample {
        let cluster: RandomCluster
        let check: FlowCheck
        let packet: Packet

        /// Nil: the packet that came by chance is none to explain.
        init?(seed: UInt64) throws {
            let detection = RandomCluster.detections[Int(seed / 2) % 4]
            var cluster = try RandomCluster(seed: seed, detection, rounds: 1, isAlone: true)
            var found: (Packet, Frontend, ServicePlan)?
            for _ in 0..<40 {
                let (packet, tracking) = cluster.packet()
                guard tracking == .new,
                    let transport = TransportProtocol(rawValue: packet.transport)
                else { continue }
                let key = FrontendKey(packet.destination, transport, packet.destinationPort)
                let plan = cluster.plans.values.first { $0.frontends.contains { $0.key == key } }
                guard let plan, let frontend = plan.frontends.first(where: { $0.key == key }) else {
                    continue
                }
                found = (packet, frontend, plan)
                break
            }
            guard let (packet, frontend, plan) = found else { return nil }
            self.cluster = cluster
            self.packet = packet
            let isInBlock = cluster.inputs.facts.podCIDRs.contains { $0.contains(packet.source) }
            let interface = packet.inputInterface ?? ""
            let isPod =
                switch detection {
                case .none: false
                case .podCIDRs: isInBlock
                case .interface(let name): interface == name
                case .interfacePrefix(let prefix): interface.hasPrefix(prefix)
                }
            let kind: FlowExplanation.Client =
                packet.source == cluster.nodeAddress ? .node : isPod ? .pod : .outside
            check = FlowCheck(
                frontend: frontend,
                plan: plan,
                kind: kind,
                packet: FirstPacket(
                    from: packet.source,
                    packet.sourcePort,
                    to: frontend.key,
                    by: packet.inputInterface
                ),
                wanted: FlowExplanation(
                    frontend,
                    of: plan,
                    from: kind,
                    sources: [IPPrefix(host: packet.source)],
                    canTellPods: detection != .none,
                    absence: ""
                ),
                looksLikePod: kind == .node && isInBlock && detection == .podCIDRs,
                ownAddresses: [cluster.nodeAddress],
                unsafePlaces: [:]
            )
        }

        func verdict(
            _ kernel: MemoryKernel,
            _ routing: Routing
        ) -> (agrees: Bool?, outcomes: [Evaluation.Outcome]) {
            let evaluator = Evaluator(kernel.ruleset, routing: routing)
            let own = cluster.nodeAddress
            let outcomes = ConnectionEvaluation(packet, evaluator, ownAddress: { _ in own })
                .outcomes
            return (check.verdict(Evaluation(outcomes)).agrees, outcomes)
        }
    }

    private func routing(_ cluster: RandomCluster, without lost: Set<IPAddress>) -> Routing {
        var routing = cluster.routing
        let way = routing.way
        routing.way = { lost.contains($0.destination) ? .nowhere : way($0) }
        return routing
    }

    @Test(arguments: 0..<shares)
    func `agreement is claimed where it is, and doubt where there is one`(share: UInt64) throws {
        var seen: [Bool?: Int] = [:]
        for seed in stride(from: share, to: Self.count / Self.rounds, by: Int(Self.shares)) {
            guard let sample = try Sample(seed: 5000 + seed) else { continue }
            let cluster = sample.cluster
            let routing = routing(cluster, without: [])
            guard
                let wanted = ConcreteKernel(cluster.kernel.ruleset, routing).fates(
                    of: sample.packet
                )
            else { continue }
            let before = sample.verdict(cluster.kernel, routing)
            #expect(
                before.agrees == true,
                "seed \(seed): \(sample.packet) \(before.outcomes) \(wanted)"
            )
            for round in 0..<Self.rounds {
                try suffer(seed * Self.rounds + round, sample, wanted, &seen)
            }
        }
        #expect(seen[true] ?? 0 > 5 && seen[false] ?? 0 > 5, "\(seen)")
    }

    private func suffer(
        _ seed: UInt64,
        _ sample: Sample,
        _ wanted: Set<Evaluation.Fate>,
        _ seen: inout [Bool?: Int]
    ) throws {
        var tampering = RandomTampering(
            seed: seed,
            sample.packet,
            sample.check.plan.pools.flatMap(\.endpoints).filter {
                $0.address.family == sample.packet.family
            }
        )
        var kernel = sample.cluster.kernel
        for _ in 0...(seed % 3) { tampering.harm(&kernel) }
        let routing = routing(sample.cluster, without: tampering.lost)
        let (agrees, outcomes) = sample.verdict(kernel, routing)
        seen[agrees, default: 0] += 1
        let isSticky = sample.check.frontend.affinityTimeout != nil
        for unknownsHold in [true, false] {
            let real = ConcreteKernel(kernel.ruleset, routing, unknownsHold: unknownsHold)
            guard let fates = real.fates(of: sample.packet) else { continue }
            let text: Comment =
                "seed \(seed): \(sample.packet) \(sample.check.kind), wanted \(wanted), got \(fates), after \(tampering.deeds): \(agrees.debugDescription) \(outcomes)"
            let possible = Set(outcomes.map(\.fate))
            #expect(possible.contains(.undecided) || fates.isSubset(of: possible), text)
            let isRight = isSticky ? fates.isSubset(of: wanted) : fates == wanted
            if let agrees { #expect(agrees == isRight, text) }
        }
    }
}
