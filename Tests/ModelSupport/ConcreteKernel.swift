import Backend
import ModelKernel
import NFTables
import NetworkTypes

/// A node that takes one packet after the other, each by one way: nothing is doubtful, merged or
/// weighed, and chance is a tape that is run through to its end.
///
/// It is written apart from `Evaluator`, which it judges.
package struct ConcreteKernel {
    package let ruleset: Ruleset
    package let routing: Routing
    /// How those matches are that nobody can evaluate.
    package let unknownsHold: Bool

    package init(_ ruleset: Ruleset, _ routing: Routing, unknownsHold: Bool = true) {
        (self.ruleset, self.routing, self.unknownsHold) = (ruleset, routing, unknownsHold)
    }

    private static let mostWays = 3000

    /// Everything that becomes of a new connection, by all draws; nil: they are too many.
    package func fates(of packet: Packet) -> Set<Evaluation.Fate>? {
        var fates: Set<Evaluation.Fate> = []
        var tape = Tape()
        var ways = 0
        repeat {
            var connection = ConcreteConnection(self, tape)
            fates.insert(connection.open(packet))
            tape = connection.tape
            ways += 1
            if ways > Self.mostWays { return nil }
        } while tape.advance()
        return fates
    }

    /// The values that are drawn, each of which takes its turn.
    struct Tape {
        private var drawn: [(value: UInt32, count: UInt32)] = []
        private var position = 0

        mutating func draw(_ count: UInt32) -> UInt32 {
            if position == drawn.count { drawn.append((0, count)) }
            position += 1
            return drawn[position - 1].value
        }

        /// Goes to the next draws; false: there are no more.
        mutating func advance() -> Bool {
            position = 0
            while let last = drawn.popLast() {
                guard last.value + 1 < last.count else { continue }
                drawn.append((last.value + 1, last.count))
                return true
            }
            return false
        }
    }
}

/// What a packet is at some point of its way.
struct ConcretePacket {
    var source, destination: IPAddress
    var sourcePort, destinationPort: UInt16
    let transport: UInt8
    var mark: UInt32 = 0
    var input, output: String?

    var family: IPFamily { destination.family }

    init(_ packet: Packet) {
        (source, sourcePort) = (packet.source, packet.sourcePort)
        (destination, destinationPort) = (packet.destination, packet.destinationPort)
        (transport, input) = (packet.transport, packet.inputInterface)
    }

    /// The same for whoever decides about routes.
    var routed: Packet {
        var packet = Packet(
            from: source,
            sourcePort,
            to: destination,
            destinationPort,
            TransportProtocol(rawValue: transport) ?? .tcp,
            by: input
        )
        packet.mark = mark
        return packet
    }
}

/// An entry of conntrack.
struct ConcreteEntry {
    var original, reply: ConnectionTuple
    var isEstablished = false
    var isReply = false
    /// The bits of `enum ip_conntrack_status`.
    var status: UInt32 = 0

    static let (sourceNAT, destinationNAT): (UInt32, UInt32) = (1 << 4, 1 << 5)
    static let (sourceDone, destinationDone): (UInt32, UInt32) = (1 << 7, 1 << 8)
}

/// A connection: its first packet, the answer to it, and the packet after that.
struct ConcreteConnection {
    let kernel: ConcreteKernel
    var tape: ConcreteKernel.Tape
    private var packet: ConcretePacket
    private var entry: ConcreteEntry?
    private var isUntracked = false
    /// What conntrack will find.
    private var known: ConcreteEntry?

    init(_ kernel: ConcreteKernel, _ tape: ConcreteKernel.Tape) {
        (self.kernel, self.tape) = (kernel, tape)
        packet = ConcretePacket(
            Packet(from: .loopback(.ipv4), 0, to: .loopback(.ipv4), 0, .tcp, by: nil)
        )
    }

    private enum End: Equatable {
        case delivered(BaseChain.Hook)
        case dropped, rejected, unroutable
    }

    mutating func open(_ first: Packet) -> Evaluation.Fate {
        switch walk(ConcretePacket(first), nil) {
        case .dropped: return .dropped
        case .rejected: return .rejected
        case .unroutable: return .unroutable
        case .delivered(let hook):
            let endpoint = AddressAndPort(packet.destination, packet.destinationPort)
            let delivered = Evaluation.Fate.delivered(
                to: endpoint,
                isMasqueraded: (entry?.status ?? 0) & ConcreteEntry.sourceNAT != 0
            )
            guard var entry else { return delivered }
            entry.isEstablished = true
            entry.isReply = true
            var answer = packet
            (answer.source, answer.sourcePort) = (packet.destination, packet.destinationPort)
            answer.destination = entry.reply.destination
            answer.destinationPort = entry.reply.destinationPort
            answer.input = hook == .input ? nil : packet.output
            (answer.output, answer.mark) = (nil, 0)
            guard case .delivered = walk(answer, entry), packet.destination == first.source,
                packet.destinationPort == first.sourcePort
            else { return .lost(after: endpoint) }
            entry.isReply = false
            guard case .delivered = walk(ConcretePacket(first), entry),
                endpoint == AddressAndPort(packet.destination, packet.destinationPort)
            else { return .lost(after: endpoint) }
            return delivered
        }
    }

    // MARK: Hooks

    private mutating func walk(_ packet: ConcretePacket, _ known: ConcreteEntry?) -> End {
        (self.packet, self.known, entry, isUntracked) = (packet, known, nil, false)
        return packet.input == nil ? send() : receive()
    }

    private mutating func receive() -> End {
        if let end = pass(.prerouting) { return end }
        switch kernel.routing.way(packet.routed) {
        case .input?: return pass(.input) ?? .delivered(.input)
        case .forward(let interface)?:
            packet.output = interface
            if let end = pass(.forward) { return end }
            let input = packet.input
            if input == interface, kernel.routing.isFilteredBridge(interface) { packet.input = nil }
            if let end = pass(.postrouting) { return end }
            packet.input = input
            return .delivered(.forward)
        case .nowhere?, nil: return .unroutable
        }
    }

    private mutating func send() -> End {
        guard setOutput() else { return .unroutable }
        if let end = pass(.output) { return end }
        guard setOutput() else { return .unroutable }
        if let end = pass(.postrouting) { return end }
        guard packet.output == "lo" else { return .delivered(.output) }
        (packet.input, packet.output) = ("lo", nil)
        return pass(.prerouting) ?? pass(.input) ?? .delivered(.input)
    }

    private mutating func setOutput() -> Bool {
        switch kernel.routing.way(packet.routed) {
        case .input?: packet.output = "lo"
        case .forward(let interface)?: packet.output = interface
        case .nowhere?, nil: return false
        }
        return true
    }

    /// Calls the chains of a hook; nil: the packet goes on.
    private mutating func pass(_ hook: BaseChain.Hook) -> End? {
        let own = chains(hook) { $0 != .nat }
        let translating = chains(hook) { $0 == .nat }
        let hasConntrack = hook == .prerouting || hook == .output
        let translation: Int32 = hasConntrack ? -100 : 100
        let isTranslating = hook != .forward
        let oldest = translating.map(\.base.order).min() ?? 0
        var isTracked = !hasConntrack
        var isTranslated = !isTranslating
        for chain in own {
            if !isTracked, chain.base.priority >= -200 {
                isTracked = true
                track()
            }
            let comesBefore =
                (chain.base.priority, oldest) < (translation, chain.base.order)
            if !isTranslated, !comesBefore {
                isTranslated = true
                if let end = translate(hook, translating) { return end }
            }
            if let end = call(chain, hook) { return end }
        }
        if !isTracked { track() }
        return isTranslated ? nil : translate(hook, translating)
    }

    private struct Place {
        let table: Ruleset.TableID
        let name: String
        let base: Ruleset.Base
    }

    /// In the order in which they are called: of equals, the latest first.
    private func chains(
        _ hook: BaseChain.Hook,
        _ isWanted: (Ruleset.Base.ChainType) -> Bool
    ) -> [Place] {
        var places: [Place] = []
        for (id, table) in kernel.ruleset.tables
        where id.family.sees(packet.family) && !table.isDormant {
            for (name, chain) in table.chains {
                guard let base = chain.base, base.hook == hook, isWanted(base.type) else {
                    continue
                }
                places.append(Place(table: id, name: name, base: base))
            }
        }
        return places.sorted {
            ($0.base.priority, $1.base.order) < ($1.base.priority, $0.base.order)
        }
    }

    private mutating func track() {
        guard entry == nil, !isUntracked else { return }
        let tuple = packet.routed.tuple
        entry = known ?? ConcreteEntry(original: tuple, reply: tuple.inverse)
    }

    private mutating func translate(_ hook: BaseChain.Hook, _ chains: [Place]) -> End? {
        let isDestination = hook == .prerouting || hook == .output
        let done = isDestination ? ConcreteEntry.destinationDone : ConcreteEntry.sourceDone
        for chain in chains {
            guard let entry, !entry.isEstablished, entry.status & done == 0 else { break }
            if let end = call(chain, hook) { return end }
        }
        entry?.status |= done
        guard let entry else { return nil }
        // Answers are translated the other way round, at the other hooks.
        let needed =
            isDestination == entry.isReply
            ? ConcreteEntry.sourceNAT : ConcreteEntry.destinationNAT
        guard entry.status & needed != 0 else { return nil }
        let other = entry.isReply ? entry.original : entry.reply
        if isDestination {
            (packet.destination, packet.destinationPort) = (other.source, other.sourcePort)
        } else {
            (packet.source, packet.sourcePort) = (other.destination, other.destinationPort)
        }
        return nil
    }

    private mutating func call(_ place: Place, _ hook: BaseChain.Hook) -> End? {
        var machine = ConcreteMachine(kernel, place.table, packet, entry, isUntracked, tape)
        let verdict = machine.run(place.name)
        (packet, entry, isUntracked) = (machine.packet, machine.entry, machine.isUntracked)
        tape = machine.tape
        switch verdict {
        case .accept: return nil
        case .drop: return .dropped
        case .reject: return .rejected
        case .goOn, .leave: return place.base.isDropping ? .dropped : nil
        }
    }
}
