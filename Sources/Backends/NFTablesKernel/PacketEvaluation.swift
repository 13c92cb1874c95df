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
            try PacketEvaluation.evaluate(packets, servers, &netlink.socket)
        }
    }
}

/// Evaluates packets with what the kernel has now.
package enum PacketEvaluation {
    /// How often everything is read again while other programs change it.
    private static let attempts = 5

    package static func evaluate(
        _ packets: [FirstPacket],
        _ servers: VirtualServers?,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [Evaluation] {
        var result: [Evaluation] = []
        for attempt in 1...attempts {
            let families = Set(packets.map(\.frontend.address.family))
            let reading = try KernelReading(families, servers, &socket)
            let evaluations = packets.map { packet in
                reading.evaluators.map {
                    ConnectionEvaluation(Packet(packet), $0, ownAddress: reading.ownAddress)
                        .outcomes
                }
            }
            let isSteady = try reading.isSteady(&socket)
            var doubts = reading.doubts
            if !isSteady, attempt == attempts {
                doubts.append("the rules change faster than they can be read")
            }
            result = evaluations.map { joined($0, doubts: doubts) }
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
}

/// What the kernel has at one moment, ready to be evaluated.
struct KernelReading {
    /// One for each order in which the kernel may call chains at the same place.
    let evaluators: [Evaluator]
    /// What may stop packets and is not evaluated, as text.
    let doubts: [String]
    private let routes: KernelRoutes
    private let generation: UInt32

    /// - Parameter believing: makes, of the rules that the kernel has, those that are evaluated
    init(
        _ families: Set<IPFamily>,
        _ servers: VirtualServers?,
        believing: (Ruleset) -> Ruleset = { $0 },
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) {
        generation = try RulesetListener.generation(&socket)
        let read = try RulesetReader.read(&socket)
        let elements = try KernelElements(recorder: socket.recorder)
        let routes = try KernelRoutes()
        self.routes = routes
        evaluators = [read.ruleset, read.reordered].compactMap { $0 }.map {
            Evaluator(believing($0), elements: elements, routing: routes.routing, servers: servers)
        }
        doubts = read.unseen + Self.legacyDoubts(families)
    }

    func ownAddress(toward address: IPAddress) -> IPAddress? { routes.ownAddress(toward: address) }

    /// Whether the rules are still those that were read.
    func isSteady(_ socket: inout NetlinkSocket) throws(NetlinkError) -> Bool {
        try RulesetListener.generation(&socket) == generation
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
