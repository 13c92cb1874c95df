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
            let (ruleset, unseen) = try RulesetReader.read(&socket)
            let elements = try KernelElements()
            let evaluator = Evaluator(
                ruleset,
                elements: elements,
                routing: try KernelRoutes().routing,
                servers: servers
            )
            var doubts = unseen + legacyDoubts(Set(packets.map(\.frontend.address.family)))
            let possibilities = packets.map { evaluator.possibilities(of: Packet($0)) }
            let isSteady = try RulesetListener.generation(&socket) == generation
            if !isSteady, attempt == attempts {
                doubts.append("the rules change faster than they can be read")
            }
            result = (
                possibilities.map { possibilities in
                    Evaluation(possibilities.map { Self.outcome($0, ruleset) }, doubts: doubts)
                },
                elements.questionCount
            )
            if isSteady { break }
        }
        return result
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

    private static func outcome(
        _ possibility: Possibility,
        _ ruleset: Ruleset
    ) -> Evaluation.Outcome {
        let fate: Evaluation.Fate =
            switch possibility.outcome {
            case .delivered(let address, let port, let isMasqueraded, _):
                .delivered(to: AddressAndPort(address, port), isMasqueraded: isMasqueraded)
            case .rejected: .rejected
            case .dropped: .dropped
            case .unroutable: .unroutable
            case .undecided: .undecided
            }
        var doubts: [String] = []
        for doubt in possibility.doubts {
            let text = doubt.rule.map { "\(ruleset.text($0)): \(doubt.reason)" } ?? doubt.reason
            if !doubts.contains(text) { doubts.append(text) }
        }
        return Evaluation.Outcome(
            fate,
            share: possibility.weight.description,
            rules: possibility.decidingRules(ruleset).map(ruleset.text),
            doubts: doubts
        )
    }
}

extension Packet {
    fileprivate init(_ packet: FirstPacket) {
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
