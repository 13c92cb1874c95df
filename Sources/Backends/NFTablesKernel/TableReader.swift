internal import CMnl
internal import CNftnl
internal import Glibc
internal import NFTables
internal import NetworkTypes
internal import Netlink
internal import ServicePlan

/// Reads one table back from the kernel.
struct TableReader {
    let family: IPFamily
    var variant = Program.Variant()

    private var table: String { RulesetPrinter.tableName }
    private var place: String { "table \(family.nftName) \(table)" }

    /// Returns what the table holds, compared with the program.
    func read(_ socket: inout NetlinkSocket) throws(NetlinkError) -> TableContents {
        var (contents, readable) = try outline(&socket)
        for set in readable { contents.elements[set.id] = try elements(of: set, &socket) }
        return contents
    }

    /// Returns what the table holds without its elements, and the sets that are worth reading.
    func outline(
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> (contents: TableContents, readable: [SetDefinition]) {
        let chains = try chains(&socket)
        // A table that is not there has no chains.
        guard !chains.isEmpty, try !isDormant(&socket) else { return (.missing, []) }
        let report = TableReport(
            chains: chains,
            rules: try rules(&socket),
            sets: try sets(&socket)
        )
        return report.compared(with: variant, family)
    }

    /// Whether there is a table with needletail's name, whatever it contains.
    static func isThere(
        _ family: IPFamily,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> Bool {
        try !TableReader(family: family).chains(&socket).isEmpty
    }

    /// Whether the kernel calls no chain of the table.
    private func isDormant(_ socket: inout NetlinkSocket) throws(NetlinkError) -> Bool {
        var flags: UInt32 = 0
        try socket.ask(
            "reading \(place)",
            NFT_MSG_GETTABLE,
            family,
            attributes: { $0.attribute(UInt16(NFTA_TABLE_NAME.rawValue), table) },
            { flags = $0.netfilterAttributes[Int(NFTA_TABLE_FLAGS.rawValue)]?.bigEndianWord ?? 0 }
        )
        return flags & UInt32(NFT_TABLE_F_DORMANT.rawValue) != 0
    }

    // MARK: Dumps

    private func chains(_ socket: inout NetlinkSocket) throws(NetlinkError) -> Set<ChainShape> {
        var chains: Set<ChainShape> = []
        try socket.dump(
            "the chains of \(place)",
            NFT_MSG_GETCHAIN,
            family,
            restart: { chains = [] },
            {
                // A dump of chains cannot be limited to a table.
                guard let chain = LibraryChain(parsing: $0.header),
                    chain.text(NFTNL_CHAIN_TABLE) == table
                else { return }
                chains.insert(ChainShape(chain))
            }
        )
        return chains
    }

    private func rules(
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [String: [[KernelExpression]]] {
        var rules: [String: [[KernelExpression]]] = [:]
        try socket.dump(
            "the rules of \(place)",
            NFT_MSG_GETRULE,
            family,
            attributes: { $0.attribute(UInt16(NFTA_RULE_TABLE.rawValue), table) },
            restart: { rules = [:] },
            {
                guard let rule = LibraryRule(parsing: $0.header) else { return }
                rules[rule.chainName, default: []].append(rule.expressions)
            }
        )
        return rules
    }

    private func sets(_ socket: inout NetlinkSocket) throws(NetlinkError) -> Set<SetShape> {
        var sets: Set<SetShape> = []
        try socket.dump(
            "the sets of \(place)",
            NFT_MSG_GETSET,
            family,
            attributes: { $0.attribute(UInt16(NFTA_SET_TABLE.rawValue), table) },
            restart: { sets = [] },
            {
                // Anonymous sets belong to a rule and are removed with it.
                guard let set = LibrarySet(parsing: $0.header),
                    set.number(NFTNL_SET_FLAGS) & SetDefinition.Flag.anonymous == 0
                else { return }
                sets.insert(SetShape(set))
            }
        )
        return sets
    }

    /// Reads the elements of a set.
    ///
    /// While the kernel rehashes a set that has just grown, a dump contains some elements twice and
    /// lacks as many others, without an error (`net/netfilter/nft_set_hash.c: nft_rhash_walk` finds
    /// its place again by counting). Such a dump is repeated.
    func elements(
        of set: SetDefinition,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> ElementTable {
        for _ in 0..<200 {
            let parser = try dump(set, &socket)
            guard parser.hasDuplicates else { return parser.elements }
            usleep(10_000)
        }
        throw NetlinkError(
            "reading the elements of set \(set.id.name) of \(place): the kernel keeps rehashing it",
            code: 0
        )
    }

    /// Returns one element; nil if it is not in the set.
    func element(
        _ key: ElementBytes,
        of set: SetDefinition,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> Element? {
        var parser = ElementParser(set)
        try ask(for: key, &parser, &socket)
        return parser.elements[key]
    }

    /// Returns the range that begins with a key; nil if there is none in the set.
    ///
    /// The kernel keeps the two ends of a range as elements of their own (`net/netfilter/nft_set_rbtree.c:
    /// __nft_rbtree_get`): asked for an end, it answers with the first one from the key on.
    /// Linux 6.1 takes a beginning at the very key for one, so the question is about the next key.
    func range(
        from key: ElementBytes,
        of set: SetDefinition,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> Element? {
        var parser = ElementParser(set)
        try ask(for: key, &parser, &socket)
        try ask(for: key.successor ?? key, isEnd: true, &parser, &socket)
        parser.finish(family)
        return parser.elements[key]
    }

    private func ask(
        for key: ElementBytes,
        isEnd: Bool = false,
        _ parser: inout ElementParser,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) {
        let set = parser.set.id.name
        try socket.ask(
            "reading an element of set \(set) of \(place)",
            NFT_MSG_GETSETELEM,
            family,
            attributes: { buffer in
                buffer.appendElement(of: set, table) { element in
                    if isEnd {
                        element.attribute(
                            UInt16(NFTA_SET_ELEM_FLAGS.rawValue),
                            bigEndian: UInt32(NFT_SET_ELEM_INTERVAL_END.rawValue)
                        )
                    }
                    key.withBytes { element.appendKey($0) }
                }
            },
            { parser.add($0) }
        )
    }

    /// Returns the number of elements in a set; nil if the kernel does not report it (before Linux
    /// 6.16).
    func count(
        of set: SetDefinition,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> Int? {
        var count: UInt32?
        try socket.ask(
            "reading set \(set.id.name) of \(place)",
            NFT_MSG_GETSET,
            family,
            attributes: {
                $0.attribute(UInt16(NFTA_SET_TABLE.rawValue), table)
                $0.attribute(UInt16(NFTA_SET_NAME.rawValue), set.id.name)
            },
            { count = $0.netfilterAttributes[Constant.setCount]?.bigEndianWord }
        )
        return count.map(Int.init)
    }

    /// Returns the number of connections that each frontend has counted, with the comment of its
    /// element.
    func connectionCounts(
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [(portLabel: String, count: UInt64)] {
        let parser = try dump(SetDefinition(.frontends), &socket)
        return parser.counters.compactMap { key, count in
            parser.elements[key]?.comment.map { ($0, count) }
        }
    }

    private func dump(
        _ set: SetDefinition,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> ElementParser {
        var parser = ElementParser(set)
        try socket.dump(
            "the elements of set \(set.id.name) of \(place)",
            NFT_MSG_GETSETELEM,
            family,
            attributes: {
                $0.attribute(UInt16(NFTA_SET_ELEM_LIST_TABLE.rawValue), table)
                $0.attribute(UInt16(NFTA_SET_ELEM_LIST_SET.rawValue), set.id.name)
            },
            restart: { parser.removeAll() },
            { parser.add($0) }
        )
        parser.finish(family)
        return parser
    }
}

extension ChainShape {
    fileprivate init(_ chain: borrowing LibraryChain) {
        self.init(
            chain.text(NFTNL_CHAIN_NAME),
            type: chain.text(NFTNL_CHAIN_TYPE),
            hook: chain.number(NFTNL_CHAIN_HOOKNUM),
            priority: chain.number(NFTNL_CHAIN_PRIO).map(Int32.init(bitPattern:)),
            policy: chain.number(NFTNL_CHAIN_POLICY)
        )
    }
}

extension SetShape {
    init(_ set: borrowing LibrarySet) {
        self.init(name: set.text(NFTNL_SET_NAME))
        flags = set.number(NFTNL_SET_FLAGS)
        keyLength = set.number(NFTNL_SET_KEY_LEN)
        // The kernel tells how long a verdict is to it.
        let isVerdictMap = set.number(NFTNL_SET_DATA_TYPE) == SetDefinition.Data.verdictType
        dataLength = isVerdictMap ? 0 : set.number(NFTNL_SET_DATA_LEN)
        size = set.number(NFTNL_SET_DESC_SIZE)
        timeout = set.timeout
        hasCounter = set.hasExpression
        userData = set.data(NFTNL_SET_USERDATA)
    }
}

extension NetlinkMessage {
    /// The whole message with its header, as the C libraries need it.
    var header: UnsafePointer<nlmsghdr> {
        // The payload follows its header in the receive buffer.
        let start = payload.baseAddress.map { $0 - Self.headerLength }
        guard let start else { preconditionFailure("a message has a payload") }
        return start.assumingMemoryBound(to: nlmsghdr.self)
    }
}
