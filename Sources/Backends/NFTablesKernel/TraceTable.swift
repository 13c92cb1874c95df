internal import CMnl
internal import CNftnl
internal import Glibc
internal import ModelKernel
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// A table that has the packets of one flow traced, and changes nothing about them.
///
/// It belongs to the socket that has made it (`NFT_TABLE_F_OWNER`): when the process ends, however it
/// does, the kernel removes it, and nobody else can change it.
struct TraceTable: ~Copyable {
    private var socket: NetlinkSocket
    private let writer: TraceTableWriter

    var id: Ruleset.TableID { Ruleset.TableID(Ruleset.Family(writer.family), writer.name) }

    /// What the names of such tables begin with.
    static let prefix = "\(RulesetPrinter.tableName)-verify-"

    /// A packet is traced from the first to the last chain of the node.
    enum Place: String, CaseIterable {
        case received, sent
        case arrived, left

        var hook: BaseChain.Hook {
            switch self {
            case .received: .prerouting
            case .sent: .output
            case .arrived: .input
            case .left: .postrouting
            }
        }

        var isStart: Bool { self == .received || self == .sent }

        /// Before all others at the hook, or behind them; conntrack alone comes later, which confirms
        /// connections (`NF_IP_PRI_CONNTRACK_CONFIRM`).
        var priority: Int32 { isStart ? .min : .max - 1 }
    }

    /// The packets that are traced, as their senders send them.
    struct Flow {
        let source: IPAddress
        /// Nil: any.
        let sourcePort: UInt16?
        let frontend: FrontendKey
    }

    init(_ flow: Flow) throws(NetlinkError) {
        var socket = try NetlinkSocket(.netfilter)
        let name = Self.prefix + "\(getpid())-\(socket.portID)"
        let writer = TraceTableWriter(name: name, family: flow.frontend.address.family)
        var batch = NetlinkBatch(
            subsystem: Constant.subsystem,
            generation: nil,
            firstSequence: socket.nextSequence()
        )
        writer.addTable(owner: UInt32(NFT_TABLE_F_OWNER.rawValue), &batch)
        for place in Place.allCases {
            writer.add(place, &batch)
            if place.isStart { writer.addRule(flow.expressions, to: place, &batch) }
        }
        socket.advance(to: batch.sequenceAfter)
        try batch.commit(&socket, subsystem: Constant.subsystem)
        self.socket = socket
        self.writer = writer
    }

    /// Removes the table.
    mutating func remove() throws(NetlinkError) {
        var batch = NetlinkBatch(
            subsystem: Constant.subsystem,
            generation: nil,
            firstSequence: socket.nextSequence()
        )
        writer.removeTable(&batch)
        socket.advance(to: batch.sequenceAfter)
        try batch.commit(&socket, subsystem: Constant.subsystem)
    }
}

extension TraceTable.Flow {
    /// The rule that has the packets traced: of TCP only those that open a connection.
    fileprivate var expressions: [KernelExpression] {
        let family = frontend.address.family
        let length = UInt32(family.byteCount)
        let start: UInt32 = family == .ipv4 ? 12 : 8
        var expressions: [KernelExpression] = [
            .payload(.network, offset: start, length: length, register: 1),
            .compare(.equal, register: 1, source.networkOrderBytes),
            .payload(.network, offset: start + length, length: length, register: 1),
            .compare(.equal, register: 1, frontend.address.networkOrderBytes),
            .meta(.transport, register: 1),
            .compare(.equal, register: 1, [frontend.transport.rawValue]),
        ]
        for (offset, port) in [(0, sourcePort), (2, frontend.port)] {
            guard let port else { continue }
            expressions += [
                .payload(.transport, offset: UInt32(offset), length: 2, register: 1),
                .compare(.equal, register: 1, [UInt8(port >> 8), UInt8(port & 0xFF)]),
            ]
        }
        if frontend.transport == .tcp {
            let (syn, ack): (UInt8, UInt8) = (2, 16)
            expressions += [
                .payload(.transport, offset: 13, length: 1, register: 1),
                .mask(from: 1, into: 1, [syn | ack], xor: [0]),
                .compare(.equal, register: 1, [syn]),
            ]
        }
        return expressions + [.immediate([1], register: 1), .setMeta(.trace, register: 1)]
    }
}

/// Writes the messages that make a table of this kind.
private struct TraceTableWriter {
    let name: String
    let family: IPFamily

    private func append(
        _ operation: String,
        _ type: nf_tables_msg_types,
        _ flags: UInt16,
        _ batch: inout NetlinkBatch,
        _ body: (UnsafeMutablePointer<nlmsghdr>) -> Void
    ) {
        let text = "\(operation) table \(family.nftName) \(name)"
        batch.append(text, type, family, flags: flags, body)
    }

    func addTable(owner: UInt32, _ batch: inout NetlinkBatch) {
        let comment = "needletail explain --verify, process \(getpid())"
        let data = TransactionEncoder.comment(comment)
        append("adding", NFT_MSG_NEWTABLE, Constant.create, &batch) {
            LibraryTable(name: name, userData: data, flags: owner).write($0)
        }
    }

    func removeTable(_ batch: inout NetlinkBatch) {
        append("removing", NFT_MSG_DELTABLE, Constant.request, &batch) {
            LibraryTable(name: name).write($0)
        }
    }

    func add(_ place: TraceTable.Place, _ batch: inout NetlinkBatch) {
        append("adding a chain to", NFT_MSG_NEWCHAIN, Constant.create, &batch) { header in
            let chain = LibraryChain(table: name, name: place.rawValue)
            chain.setBase(.filter, place.hook, priority: place.priority)
            chain.write(header)
        }
    }

    func addRule(
        _ expressions: [KernelExpression],
        to place: TraceTable.Place,
        _ batch: inout NetlinkBatch
    ) {
        append("adding a rule to", NFT_MSG_NEWRULE, Constant.append, &batch) {
            LibraryRule(table: name, chainNamed: place.rawValue, expressions).write($0)
        }
    }
}
