package import Backend
package import ModelKernel
internal import NFTables
internal import NetworkTypes
package import Netlink

extension TableProgrammer {
    /// Returns what the kernel does to packets.
    ///
    /// - Parameter servers: the virtual servers that balance what the rules let through; nil
    ///   without IPVS
    package func evaluate(
        _ packets: [FirstPacket],
        servers: VirtualServers? = nil
    ) throws(CommitError) -> [Evaluation] {
        try CommitError.translating { () throws(NetlinkError) in
            try PacketEvaluation.evaluate(packets, servers, &netlink.socket).evaluations
        }
    }
}

/// Evaluates packets with what the kernel has now.
package enum PacketEvaluation {
    /// How often everything is read again while other programs change it.
    private static let attempts = 5

    /// Returns the evaluations, and how many elements the kernel was asked for.
    package static func evaluate(
        _ packets: [FirstPacket],
        _ servers: VirtualServers?,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> (evaluations: [Evaluation], questionCount: Int) {
        var result: (evaluations: [Evaluation], questionCount: Int) = ([], 0)
        for attempt in 1...attempts {
            let generation = try RulesetListener.generation(&socket)
            let read = try RulesetReader.read(&socket)
            let elements = try KernelElements(recorder: socket.recorder)
            let routes = try KernelRoutes()
            let evaluators = [read.ruleset, read.reordered].compactMap { $0 }.map {
                Evaluator($0, elements: elements, routing: routes.routing, servers: servers)
            }
            var doubts = unevaluated(read, Set(packets.map(\.frontend.address.family)))
            let evaluations = packets.map { packet in
                evaluators.map {
                    ConnectionEvaluation(Packet(packet), $0, ownAddress: routes.ownAddress).outcomes
                }
            }
            let isSteady = try RulesetListener.generation(&socket) == generation
            if !isSteady, attempt == attempts {
                doubts.append("the rules change faster than they can be read")
            }
            result = (
                evaluations.map { joined($0, doubts: doubts) }, elements.questionCount
            )
            if isSteady { break }
        }
        return result
    }

    /// Joins what happens in either order of chains that the kernel calls at the same place.
    private static func joined(
        _ orders: [[Evaluation.Outcome]],
        doubts: [String]
    ) -> Evaluation {
        let fates = Set(orders.map { Set($0.map { "\($0.fate) \($0.share) \($0.doubts)" }) })
        guard fates.count > 1 else { return Evaluation(orders.first ?? [], doubts: doubts) }
        var outcomes: [Evaluation.Outcome] = []
        for outcome in orders.joined() where !outcomes.contains(outcome) {
            outcomes.append(
                Evaluation.Outcome(
                    outcome.fate,
                    share: outcome.share,
                    rules: outcome.rules,
                    doubts: outcome.doubts + [Self.tie]
                )
            )
        }
        return Evaluation(outcomes, doubts: doubts)
    }

    private static let tie =
        "chains of several tables have the same hook and priority, and the kernel does not tell which"
        + " comes first"

    /// What may stop packets and is not evaluated, as text.
    static func unevaluated(_ read: RulesetReader.Result, _ families: Set<IPFamily>) -> [String] {
        read.unseen + legacyDoubts(families)
    }

    /// The rules of iptables-legacy, which are no rules of nf_tables.
    private static func legacyDoubts(_ families: Set<IPFamily>) -> [String] {
        families.sorted { $0.rawValue < $1.rawValue }.flatMap { family in
            do throws(NetlinkError) {
                return try XTables(family).busyTables().map { "\($0): its rules are not evaluated" }
            } catch {
                return ["iptables-legacy: \(error)"]
            }
        }
    }
}

extension Packet {
    init(_ packet: FirstPacket) {
        self.init(
            from: packet.source,
            packet.sourcePort,
            to: packet.frontend.address,
            packet.frontend.port,
            packet.frontend.transport,
            by: packet.interface
        )
    }
}
