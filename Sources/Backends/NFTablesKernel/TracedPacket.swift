internal import ModelKernel
internal import Netlink

/// Finds the first packet that a table has traced among all that is reported, and follows it to its
/// end.
struct TracedPacket {
    enum End: Equatable {
        /// It came to the last chain, where a process of the node gets it.
        case arrived
        /// It came to the last chain, and leaves by an interface.
        case left
        /// What is seen last has dropped it, or refused it.
        case stopped
        /// A program gets it, or does not.
        case queued
    }

    private let table: Ruleset.TableID
    private(set) var events: [TraceEvent] = []
    /// As the last base chain got it.
    private(set) var headers: TracedHeaders?
    /// Nil: nothing more is known.
    private(set) var end: End?
    /// The number that the kernel reports it by.
    private var id: UInt32?
    private var comesBack = false
    private var isOver = false

    /// - Parameter table: that has it traced
    init(by table: Ruleset.TableID) { self.table = table }

    /// Whether there is nothing more to come.
    var isComplete: Bool { end != nil || isOver }

    mutating func take(_ event: TraceEvent) {
        guard !isComplete, isOurs(event) else { return }
        events.append(event)
        if let packet = event.packet {
            headers = packet
            comesBack = false
        }
        if event.kind == .policy, isOfTable(event) {
            switch LookingTable.Place(rawValue: event.chain) {
            case .arrived: end = .arrived
            case .left where headers?.isLoopedBack == true: comesBack = true
            case .left: end = .left
            case .received, .sent, nil: break
            }
        }
        // NF_DROP, NF_STOLEN and NF_QUEUE, below an error number.
        guard let verdict = event.verdict, verdict >= 0 else { return }
        switch verdict & 0xFF {
        case 0: end = .stopped
        case 2, 3: end = .queued
        default: break
        }
    }

    private func isOfTable(_ event: TraceEvent) -> Bool {
        event.table == table.name && event.family == table.family.rawValue
    }

    private mutating func isOurs(_ event: TraceEvent) -> Bool {
        let starts = event.rule != nil && event.packet != nil && isOfTable(event)
        guard let id else {
            if starts { id = event.id }
            return starts
        }
        if comesBack {
            // It has got another number, and is what it was.
            guard let packet = event.packet, packet.inputInterface == headers?.outputInterface,
                packet.source == headers?.source, packet.destination == headers?.destination,
                packet.transport == headers?.transport
            else { return false }
            self.id = event.id
            return true
        }
        // Another packet of the flow, sent again: nothing more comes of the first one.
        if starts { isOver = true }
        return !starts && event.id == id
    }
}
