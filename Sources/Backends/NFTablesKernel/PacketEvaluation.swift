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
            let routes = try KernelRoutes()
            let evaluator = Evaluator(
                ruleset,
                elements: elements,
                routing: routes.routing,
                servers: servers
            )
            var doubts = unseen + legacyDoubts(Set(packets.map(\.frontend.address.family)))
            let outcomes = packets.map { packet in
                ConnectionEvaluation(Packet(packet), evaluator, routes).outcomes
            }
            let isSteady = try RulesetListener.generation(&socket) == generation
            if !isSteady, attempt == attempts {
                doubts.append("the rules change faster than they can be read")
            }
            result = (outcomes.map { Evaluation($0, doubts: doubts) }, elements.questionCount)
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
