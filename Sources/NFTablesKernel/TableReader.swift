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
        let chains = try chains(&socket)
        var contents = TableContents()
        contents.numbers.affinityTimeouts = chains.compactMap(\.affinityTimeout).sorted()
        let expected = Program(family, variant, numbers: contents.numbers)
        // A table that does not exist has no chains.
        guard chains == Set(expected.chains.map(\.shape)) else {
            return chains.isEmpty ? .unusable : try unusable(&socket)
        }
        var rules = try rules(&socket)
        readPoolSizes(&rules, &contents)
        let sets = try sets(&socket)
        contents.numbers.sourceLengths = sourceLengths(rules, sets)
        let program = Program(family, variant, numbers: contents.numbers)
        guard sets == Set(program.sets.map { SetShape($0, family) }) else {
            return try unusable(&socket)
        }
        for chain in program.chains where rules[chain.name.text] ?? [] != fingerprints(chain) {
            contents.damagedChains.insert(chain.name)
        }
        for set in program.sets where !set.isForgetful {
            contents.elements[set.id] = try elements(of: set, &socket)
        }
        return contents
    }

    /// Returns the contents of a table that another version or mode has made.
    ///
    /// The table will be replaced, but its frontends are needed to find stale connections.
    private func unusable(_ socket: inout NetlinkSocket) throws(NetlinkError) -> TableContents {
        var contents = TableContents.unusable
        let wanted = FormerFrontends.sets.map(SetDefinition.init)
        let present = try sets(&socket).map(\.contents)
        guard wanted.allSatisfy({ present.contains(SetShape($0, family).contents) }) else {
            return contents
        }
        for set in wanted { contents.elements[set.id] = try elements(of: set, &socket) }
        return contents
    }

    /// Whether there is a table with needletail's name, whatever it contains.
    static func isThere(
        _ family: IPFamily,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> Bool {
        try !TableReader(family: family).chains(&socket).isEmpty
    }

    private func fingerprints(_ chain: Chain) -> [RuleFingerprint] {
        chain.rules.map {
            LibraryRule(family, table: table, chain: chain.name, $0.expressions(family)).fingerprint
        }
    }

    /// Reads the pool sizes in the rules of `pick` and `pick-local`.
    ///
    /// A chain whose rules are not exactly those for its pool sizes is marked as damaged.
    private func readPoolSizes(
        _ rules: inout [String: [RuleFingerprint]],
        _ contents: inout TableContents
    ) {
        for (chain, path) in [
            (Chain.Name.pick, \ProgramNumbers.poolSizes), (.pickLocal, \.localPoolSizes),
        ] {
            let found = rules[chain.text] ?? []
            contents.numbers[keyPath: path] = found.compactMap(\.number)
            let program = Program(family, variant, numbers: contents.numbers)
            let expected = program.chain(chain).map(fingerprints) ?? []
            // A change that was sent in parts and not finished may have left the same rule twice.
            let numbers = contents.numbers[keyPath: path]
            guard found != expected || Set(numbers).count < numbers.count else { continue }
            contents.numbers[keyPath: path] = []
            rules[chain.text] = []
            contents.damagedChains.insert(chain)
        }
    }

    /// Returns the prefix lengths for which there are sets, in the order of the rules.
    private func sourceLengths(
        _ rules: [String: [RuleFingerprint]],
        _ sets: Set<SetShape>
    ) -> [UInt32] {
        let lengths = sets.compactMap { SetID.sourceLength($0.name) }.sorted()
        let listed = (rules[Chain.Name.sourceRanges.text] ?? []).compactMap(\.number)
        return listed.sorted() == lengths ? listed : lengths
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
    ) throws(NetlinkError) -> [String: [RuleFingerprint]] {
        var rules: [String: [RuleFingerprint]] = [:]
        try socket.dump(
            "the rules of \(place)",
            NFT_MSG_GETRULE,
            family,
            attributes: { $0.attribute(UInt16(NFTA_RULE_TABLE.rawValue), table) },
            restart: { rules = [:] },
            {
                guard let rule = LibraryRule(parsing: $0.header) else { return }
                rules[rule.chainName, default: []].append(rule.fingerprint)
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
                    set.number(NFTNL_SET_FLAGS) & UInt32(NFT_SET_ANONYMOUS.rawValue) == 0
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
    ) throws(NetlinkError) -> [ElementBytes: Element] {
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
        try socket.ask(
            "reading an element of set \(set.id.name) of \(place)",
            NFT_MSG_GETSETELEM,
            family,
            attributes: { buffer in
                buffer.attribute(UInt16(NFTA_SET_ELEM_LIST_TABLE.rawValue), table)
                buffer.attribute(UInt16(NFTA_SET_ELEM_LIST_SET.rawValue), set.id.name)
                let list = buffer.beginNest(UInt16(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue))
                let element = buffer.beginNest(UInt16(NFTA_LIST_ELEM.rawValue))
                let value = buffer.beginNest(UInt16(NFTA_SET_ELEM_KEY.rawValue))
                key.withBytes { buffer.attribute(UInt16(NFTA_DATA_VALUE.rawValue), bytes: $0) }
                buffer.endNest(value)
                buffer.endNest(element)
                buffer.endNest(list)
            },
            { parser.add($0) }
        )
        return parser.elements[key]
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

/// The properties of a chain, other than its rules, that must equal those in the program.
struct ChainShape: Hashable {
    private let name: String
    private let type: String
    private let hook: UInt32?
    private let priority: UInt32?
    private let policy: UInt32?

    fileprivate var affinityTimeout: UInt32? { Chain.Name.affinityTimeout(name) }

    fileprivate init(_ chain: borrowing LibraryChain) {
        name = chain.text(NFTNL_CHAIN_NAME)
        type = chain.text(NFTNL_CHAIN_TYPE)
        hook = chain.number(NFTNL_CHAIN_HOOKNUM)
        priority = chain.number(NFTNL_CHAIN_PRIO)
        policy = chain.number(NFTNL_CHAIN_POLICY)
    }

    fileprivate init(_ chain: Chain) {
        name = chain.name.text
        type = chain.base?.type.rawValue ?? ""
        hook = chain.base?.hook.rawValue
        priority = chain.base.map { UInt32(bitPattern: $0.priority) }
        policy = chain.base == nil ? nil : 1
    }
}

extension Chain {
    fileprivate var shape: ChainShape { ChainShape(self) }
}

/// The properties of a set, other than its elements, that must equal those in the program.
private struct SetShape: Hashable {
    let name: String
    let flags: UInt32
    let keyLength: UInt32
    let dataLength: UInt32
    let size: UInt32
    /// The timeout of elements in milliseconds.
    let timeout: UInt64
    let hasCounter: Bool
    let userData: [UInt8]

    /// The properties that must equal those in the program so that the elements can be read.
    var contents: [String] { [name, "\(keyLength)", "\(dataLength)"] }

    init(_ set: borrowing LibrarySet) {
        name = set.text(NFTNL_SET_NAME)
        flags = set.number(NFTNL_SET_FLAGS)
        keyLength = set.number(NFTNL_SET_KEY_LEN)
        // For a map of verdicts the kernel reports the size of its own structure.
        let isVerdictMap = set.number(NFTNL_SET_DATA_TYPE) == Constant.verdictType
        dataLength = isVerdictMap ? 0 : set.number(NFTNL_SET_DATA_LEN)
        size = set.number(NFTNL_SET_DESC_SIZE)
        timeout = set.timeout
        hasCounter = set.hasExpression
        userData = set.data(NFTNL_SET_USERDATA)
    }

    init(_ set: SetDefinition, _ family: IPFamily) {
        name = set.id.name
        flags = set.flags
        keyLength = UInt32(set.keyLength(family))
        dataLength = UInt32(set.dataLength(family))
        size = set.size ?? 0
        timeout = UInt64(set.timeout ?? 0) * 1000
        hasCounter = set.hasCounter
        userData = SetUserData.bytes(set, family)
    }
}

extension NetlinkMessage {
    /// The whole message with its header, as the C libraries need it.
    fileprivate var header: UnsafePointer<nlmsghdr> {
        // The payload follows its header in the receive buffer.
        let start = payload.baseAddress.map { $0 - Self.headerLength }
        guard let start else { preconditionFailure("a message has a payload") }
        return start.assumingMemoryBound(to: nlmsghdr.self)
    }
}
