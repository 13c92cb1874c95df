internal import CMnl
internal import CNftnl
internal import Glibc
internal import ModelKernel
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// A table of one command, whose rules look at packets and decide nothing.
///
/// It belongs to the socket that has made it (`NFT_TABLE_F_OWNER`): when the process ends, however it
/// does, the kernel removes it, and nobody else can change it.
struct LookingTable: ~Copyable {
    private var socket: NetlinkSocket
    let writer: LookingTableWriter

    var id: Ruleset.TableID { Ruleset.TableID(Ruleset.Family(writer.family), writer.name) }

    /// Whether a table is one of these.
    static func has(name: String) -> Bool { purposes.contains { name.hasPrefix(prefix($0)) } }

    /// Where packets are looked at: before the first and behind the last chain of the node.
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

    private static let purposes = ["verify", "watch"]

    private static func prefix(_ purpose: String) -> String {
        "\(RulesetPrinter.tableName)-\(purpose)-"
    }

    /// - Parameter contents: adds the chains, sets and rules
    init(
        for purpose: String,
        _ family: IPFamily,
        contents: (LookingTableWriter, inout NetlinkBatch) -> Void
    ) throws(NetlinkError) {
        precondition(Self.purposes.contains(purpose))
        var socket = try NetlinkSocket(.netfilter)
        let writer = LookingTableWriter(
            name: Self.prefix(purpose) + "\(getpid())-\(socket.portID)",
            family: family
        )
        try Self.commit(&socket) { batch in
            writer.addTable(&batch)
            contents(writer, &batch)
        }
        self.socket = socket
        self.writer = writer
    }

    /// Changes the table in one transaction.
    mutating func change(
        _ body: (LookingTableWriter, inout NetlinkBatch) -> Void
    ) throws(NetlinkError) {
        let writer = writer
        try Self.commit(&socket) { body(writer, &$0) }
    }

    private static func commit(
        _ socket: inout NetlinkSocket,
        _ body: (inout NetlinkBatch) -> Void
    ) throws(NetlinkError) {
        var batch = NetlinkBatch(
            subsystem: Constant.subsystem,
            generation: nil,
            firstSequence: socket.nextSequence()
        )
        body(&batch)
        socket.advance(to: batch.sequenceAfter)
        try batch.commit(&socket, subsystem: Constant.subsystem)
    }

    /// Reads the elements of one of its sets.
    mutating func readElements(
        of set: String,
        restart: () -> Void,
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let names = (NFTA_SET_ELEM_LIST_TABLE.rawValue, NFTA_SET_ELEM_LIST_SET.rawValue)
        try read("set", set, NFT_MSG_GETSETELEM, names, restart, body)
    }

    /// Reads the rules of one of its chains.
    mutating func readRules(
        of chain: String,
        restart: () -> Void,
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let names = (NFTA_RULE_TABLE.rawValue, NFTA_RULE_CHAIN.rawValue)
        try read("chain", chain, NFT_MSG_GETRULE, names, restart, body)
    }

    /// - Parameter attributes: of the names of the table and of what is read
    private mutating func read(
        _ kind: String,
        _ name: String,
        _ type: nf_tables_msg_types,
        _ attributes: (table: UInt32, object: UInt32),
        _ restart: () -> Void,
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let writer = writer
        try socket.dump(
            "reading \(kind) \(name) of \(writer.place)",
            type,
            writer.family,
            attributes: { buffer in
                buffer.attribute(UInt16(attributes.table), writer.name)
                buffer.attribute(UInt16(attributes.object), name)
            },
            restart: restart,
            body
        )
    }

    mutating func remove() throws(NetlinkError) {
        try change { writer, batch in writer.removeTable(&batch) }
    }
}

/// Writes the messages that make and change such a table.
struct LookingTableWriter {
    let name: String
    let family: IPFamily

    var place: String { "table \(family.nftName) \(name)" }

    private func append(
        _ operation: String,
        _ type: nf_tables_msg_types,
        _ flags: UInt16,
        _ batch: inout NetlinkBatch,
        _ body: (UnsafeMutablePointer<nlmsghdr>) -> Void
    ) {
        batch.append("\(operation) \(place)", type, family, flags: flags, body)
    }

    fileprivate func addTable(_ batch: inout NetlinkBatch) {
        let data = TransactionEncoder.comment("needletail, process \(getpid())")
        append("adding", NFT_MSG_NEWTABLE, Constant.create, &batch) {
            LibraryTable(name: name, userData: data, flags: UInt32(NFT_TABLE_F_OWNER.rawValue))
                .write($0)
        }
    }

    fileprivate func removeTable(_ batch: inout NetlinkBatch) {
        append("removing", NFT_MSG_DELTABLE, Constant.request, &batch) {
            LibraryTable(name: name).write($0)
        }
    }

    /// Adds the chains at all places, and rules to those where packets begin and to those where they
    /// end.
    func addPlaces(
        starting: [[KernelExpression]],
        ending: [[KernelExpression]],
        _ batch: inout NetlinkBatch
    ) {
        for place in LookingTable.Place.allCases {
            let chain = place.rawValue
            append("adding chain \(chain) to", NFT_MSG_NEWCHAIN, Constant.create, &batch) {
                header in
                let library = LibraryChain(table: name, name: chain)
                library.setBase(.filter, place.hook, priority: place.priority)
                library.write(header)
            }
            for rule in place.isStart ? starting : ending { addRule(rule, to: chain, &batch) }
        }
    }

    /// Adds a chain that rules lead to.
    func addChain(_ chain: String, _ batch: inout NetlinkBatch) {
        append("adding chain \(chain) to", NFT_MSG_NEWCHAIN, Constant.create, &batch) {
            LibraryChain(table: name, name: chain).write($0)
        }
    }

    func addRule(
        _ expressions: [KernelExpression],
        to chain: String,
        _ batch: inout NetlinkBatch
    ) {
        append("adding a rule to chain \(chain) of", NFT_MSG_NEWRULE, Constant.append, &batch) {
            LibraryRule(table: name, chainNamed: chain, expressions).write($0)
        }
    }

    /// Adds a set; what it is keyed by decides nft's names of its types.
    func addSet(
        _ set: String,
        key: [PacketField],
        _ batch: inout NetlinkBatch,
        adding properties: (borrowing LibrarySet) -> Void = { _ in }
    ) {
        append("adding set \(set) to", NFT_MSG_NEWSET, Constant.create, &batch) { header in
            let library = LibrarySet()
            library.set(NFTNL_SET_TABLE, name)
            library.set(NFTNL_SET_NAME, set)
            // The kernel requires an ID; nothing in this batch uses it.
            library.set(NFTNL_SET_ID, 1)
            library.set(NFTNL_SET_KEY_TYPE, key.dataType(family))
            library.set(NFTNL_SET_KEY_LEN, UInt32(key.registerBytes(family)))
            properties(library)
            library.write(header)
        }
    }

    /// Adds or deletes elements of a set that has the shape of one of needletail's.
    func elements(
        _ keys: [ElementBytes],
        of set: SetID,
        isDeletion: Bool,
        _ batch: inout NetlinkBatch
    ) {
        ElementWriter(family: family, table: name, set: SetDefinition(set))
            .append(keys.map { Element(key: $0) }, isDeletion: isDeletion, to: &batch)
    }
}

extension TransportProtocol {
    /// Lets pass what is of this protocol.
    var isEqual: [KernelExpression] {
        [.meta(.transport, register: 1), .compare(.equal, register: 1, [rawValue])]
    }
}

extension KernelExpression {
    /// Lets pass segments of TCP with SYN and without ACK.
    static let isFirstSegment: [KernelExpression] = {
        let (syn, ack): (UInt8, UInt8) = (2, 16)
        return [
            .payload(.transport, offset: 13, length: 1, register: 1),
            .mask(from: 1, into: 1, [syn | ack], xor: [0]),
            .compare(.equal, register: 1, [syn]),
        ]
    }()
}
