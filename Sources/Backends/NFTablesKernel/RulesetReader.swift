internal import CMnl
internal import CNftnl
internal import ModelKernel
internal import NFTables
internal import Netlink

/// Reads everybody's tables from the kernel: chains, rules and the shapes of sets, but no elements.
struct RulesetReader {
    private var ruleset = Ruleset()
    /// The chains that see packets where nothing is evaluated, by family, table and name.
    private var unseen: [UnseenChain] = []
    private var unseenRules: [UnseenTable: [Ruleset.Rule]] = [:]
    private var handles: [Ruleset.TableID: UInt64] = [:]
    private var registrations: [(table: UInt64, chain: UInt64, place: (Ruleset.TableID, String))] =
        []

    private struct UnseenTable: Hashable {
        let family: UInt8
        let name: String
    }

    private struct UnseenChain {
        let table: UnseenTable
        let name: String
        let drops: Bool
    }

    /// NFPROTO_NETDEV and NFPROTO_BRIDGE of `linux/netfilter.h`.
    private static let unseenFamilies: [UInt8: String] = [5: "netdev", 7: "bridge"]

    struct Result {
        let ruleset: Ruleset
        /// The same with the other order of chains that the kernel calls at the same place; nil if
        /// there are none.
        let reordered: Ruleset?
        /// What may stop packets and is no part of the ruleset, as text.
        let unseen: [String]
    }

    static func read(_ socket: inout NetlinkSocket) throws(NetlinkError) -> Result {
        var reader = RulesetReader()
        try reader.readTables(&socket)
        try reader.readChains(&socket)
        try reader.readRules(&socket)
        try reader.readSets(&socket)
        reader.order { $0 < $1 }
        let ruleset = reader.ruleset
        let hasTies = reader.hasTies
        if hasTies { reader.order { $0 > $1 } }
        return Result(
            ruleset: ruleset,
            reordered: hasTies ? reader.ruleset : nil,
            unseen: reader.unseenTexts
        )
    }

    // MARK: Dumps

    private mutating func readTables(_ socket: inout NetlinkSocket) throws(NetlinkError) {
        var found: [Ruleset.TableID: (handle: UInt64, isDormant: Bool)] = [:]
        try socket.dump(
            "the tables",
            NFT_MSG_GETTABLE,
            netfilterFamily: 0,
            restart: { found = [:] }
        ) {
            let table = $0.netfilterAttributes
            guard let family = Ruleset.Family(rawValue: $0.netfilterFamily),
                let name = table[Int(NFTA_TABLE_NAME.rawValue)]?.text
            else { return }
            let flags = table[Int(NFTA_TABLE_FLAGS.rawValue)]?.bigEndianWord ?? 0
            found[Ruleset.TableID(family, name)] = (
                table[Int(NFTA_TABLE_HANDLE.rawValue)]?.bigEndianLong ?? 0,
                flags & UInt32(NFT_TABLE_F_DORMANT.rawValue) != 0
            )
        }
        for (id, table) in found {
            handles[id] = table.handle
            ruleset.tables[id] = Ruleset.Table()
            ruleset.tables[id]?.isDormant = table.isDormant
        }
    }

    private struct FoundChain {
        let family: UInt8
        let table, name, type: String
        let handle: UInt64
        let hook: UInt32?
        let priority: Int32
        let drops: Bool
    }

    private mutating func readChains(_ socket: inout NetlinkSocket) throws(NetlinkError) {
        var found: [FoundChain] = []
        try socket.dump("the chains", NFT_MSG_GETCHAIN, netfilterFamily: 0, restart: { found = [] })
        {
            let chain = $0.netfilterAttributes
            guard let table = chain[Int(NFTA_CHAIN_TABLE.rawValue)]?.text,
                let name = chain[Int(NFTA_CHAIN_NAME.rawValue)]?.text
            else { return }
            let hook = chain[Int(NFTA_CHAIN_HOOK.rawValue)]?.nested
            let priority = hook?[Int(NFTA_HOOK_PRIORITY.rawValue)]?.bigEndianWord ?? 0
            let policy = chain[Int(NFTA_CHAIN_POLICY.rawValue)]?.bigEndianWord
            found.append(
                FoundChain(
                    family: $0.netfilterFamily,
                    table: table,
                    name: name,
                    type: chain[Int(NFTA_CHAIN_TYPE.rawValue)]?.text ?? "",
                    handle: chain[Int(NFTA_CHAIN_HANDLE.rawValue)]?.bigEndianLong ?? 0,
                    hook: hook?[Int(NFTA_HOOK_HOOKNUM.rawValue)]?.bigEndianWord,
                    priority: Int32(bitPattern: priority),
                    drops: policy == Constant.drop
                )
            )
        }
        for chain in found { add(chain) }
    }

    private mutating func add(_ chain: FoundChain) {
        let hook = chain.hook.flatMap(BaseChain.Hook.init)
        guard let family = Ruleset.Family(rawValue: chain.family),
            chain.hook == nil || hook != nil
        else {
            guard chain.hook != nil,
                Self.unseenFamilies[chain.family] != nil
                    || chain.family == Ruleset.Family.inet.rawValue
            else { return }
            let table = UnseenTable(family: chain.family, name: chain.table)
            unseen.append(UnseenChain(table: table, name: chain.name, drops: chain.drops))
            return
        }
        let id = Ruleset.TableID(family, chain.table)
        var base: Ruleset.Base?
        if let hook {
            let type = Ruleset.Base.ChainType(rawValue: chain.type) ?? .filter
            base = Ruleset.Base(type, hook, chain.priority)
            base?.isDropping = chain.drops
            registrations.append((handles[id] ?? 0, chain.handle, (id, chain.name)))
        }
        ruleset.tables[id]?.chains[chain.name] = Ruleset.Chain(base: base)
    }

    private mutating func readRules(_ socket: inout NetlinkSocket) throws(NetlinkError) {
        var found: [(family: UInt8, table: String, chain: String, rule: Ruleset.Rule)] = []
        try socket.dump("the rules", NFT_MSG_GETRULE, netfilterFamily: 0, restart: { found = [] }) {
            guard let rule = LibraryRule(parsing: $0.header) else { return }
            let read = Ruleset.Rule(handle: rule.number, rule.expressions)
            found.append(($0.netfilterFamily, rule.tableName, rule.chainName, read))
        }
        for (family, table, chain, rule) in found {
            unseenRules[UnseenTable(family: family, name: table), default: []].append(rule)
            guard let family = Ruleset.Family(rawValue: family) else { continue }
            ruleset.tables[Ruleset.TableID(family, table)]?.chains[chain]?.rules.append(rule)
        }
    }

    /// The sets of all tables; anonymous ones belong to a rule, and are looked up like others.
    private mutating func readSets(_ socket: inout NetlinkSocket) throws(NetlinkError) {
        var found: [(table: Ruleset.TableID, set: Ruleset.ElementSet)] = []
        try socket.dump("the sets", NFT_MSG_GETSET, netfilterFamily: 0, restart: { found = [] }) {
            guard let family = Ruleset.Family(rawValue: $0.netfilterFamily),
                let set = LibrarySet(parsing: $0.header)
            else { return }
            var read = Ruleset.ElementSet(SetShape(set))
            read.isVerdictMap =
                set.number(NFTNL_SET_DATA_TYPE) == SetDefinition.Data.verdictType
            found.append((Ruleset.TableID(family, set.text(NFTNL_SET_TABLE)), read))
        }
        for (table, set) in found { ruleset.tables[table]?.sets[set.shape.name] = set }
    }

    // MARK: What they mean

    /// Whether chains of several tables that may translate have the same hook and priority.
    ///
    /// The order of chains that filter shows in marks alone: each may stop a packet, and none lets it pass
    /// for another.
    private var hasTies: Bool {
        var owners: [Ruleset.Base: Ruleset.TableID] = [:]
        for registration in registrations {
            let (table, chain) = registration.place
            guard var base = ruleset.tables[table]?.chains[chain]?.base, base.type == .nat else {
                continue
            }
            (base.order, base.isDropping) = (0, false)
            if let owner = owners[base], owner != table { return true }
            owners[base] = table
        }
        return false
    }

    /// Takes chains for registered in the order of their numbers.
    ///
    /// The kernel numbers tables, and the objects of a table, in the order in which they were made;
    /// which of the chains of two tables is older, it does not tell.
    private mutating func order(_ precedes: (UInt64, UInt64) -> Bool) {
        registrations.sort {
            $0.table == $1.table ? $0.chain < $1.chain : precedes($0.table, $1.table)
        }
        for (index, registration) in registrations.enumerated() {
            let (table, chain) = registration.place
            ruleset.tables[table]?.chains[chain]?.base?.order = UInt64(index)
        }
    }

    /// The chains at the hooks of devices and bridges that may stop packets.
    private var unseenTexts: [String] {
        unseen.compactMap { chain in
            let rules = unseenRules[chain.table] ?? []
            guard chain.drops || !rules.allSatisfy(\.isHarmless) else { return nil }
            let family = Self.unseenFamilies[chain.table.family] ?? "inet"
            return
                "table \(family) \(chain.table.name), chain \(chain.name): the hooks of devices and"
                + " bridges are not evaluated"
        }
        .sorted()
    }
}
