internal import CMnl
internal import CNftnl
internal import Backend
internal import NFTables
internal import NFTablesKernel
internal import NetworkTypes
internal import Netlink

/// The objects that kube-proxy has left in nf_tables: the tables of its mode nftables, its chains
/// in the tables of iptables-nft, and the rules that lead to those chains.
///
/// All are recognized by their names; objects of the kubelet and of network plugins are not
/// touched.
struct KubeProxyRules {
    private enum Item: Hashable {
        case table
        /// A rule in another program's chain that leads to a chain of kube-proxy's.
        case jump(chain: String, handle: UInt64, target: String)
        case chain(String)
    }

    private struct Place: Hashable {
        let family: IPFamily
        let table: String
    }

    private var items: [Place: [Item]] = [:]

    var isEmpty: Bool { items.isEmpty }

    /// The changes that removal makes, one for each object.
    var differences: [Difference] {
        items.flatMap { place, items in
            items.map { item in
                let table = "table \(place.family.nftName) \(place.table)"
                let object =
                    switch item {
                    case .table: table
                    case .jump(let chain, _, let target): "\(table) chain \(chain): jump \(target)"
                    case .chain(let name): "\(table) chain \(name)"
                    }
                return Difference(.remove, object, of: .everyone)
            }
        }
        .sorted { $0.object < $1.object }
    }

    // MARK: Finding

    private static let ownTable = "kube-proxy"

    init(_ socket: inout NetlinkSocket) throws(NetlinkError) {
        for family in IPFamily.allCases {
            try findChains(family, &socket)
            for place in items.keys where place.family == family && place.table != Self.ownTable {
                try findJumps(place, &socket)
            }
        }
    }

    private mutating func findChains(
        _ family: IPFamily,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) {
        var found: [Place: [Item]] = [:]
        try socket.dump("the tables", NFT_MSG_GETTABLE, family, restart: { found = [:] }) {
            if $0.netfilterAttributes[Int(NFTA_TABLE_NAME.rawValue)]?.text == Self.ownTable {
                found[Place(family: family, table: Self.ownTable)] = [.table]
            }
        }
        try socket.dump("the chains", NFT_MSG_GETCHAIN, family, restart: { found = [:] }) {
            let chain = $0.netfilterAttributes
            guard let table = chain[Int(NFTA_CHAIN_TABLE.rawValue)]?.text,
                KubeProxyChains.tables.contains(table),
                let name = chain[Int(NFTA_CHAIN_NAME.rawValue)]?.text,
                KubeProxyChains.contains(name)
            else { return }
            found[Place(family: family, table: table), default: []].append(.chain(name))
        }
        items.merge(found) { $0 + $1 }
    }

    private mutating func findJumps(
        _ place: Place,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) {
        var found: [Item] = []
        try socket.dump(
            "the rules of \(place.table)",
            NFT_MSG_GETRULE,
            place.family,
            attributes: { $0.attribute(UInt16(NFTA_RULE_TABLE.rawValue), place.table) },
            restart: { found = [] }
        ) { message in
            let rule = message.netfilterAttributes
            guard let chain = rule[Int(NFTA_RULE_CHAIN.rawValue)]?.text,
                !KubeProxyChains.contains(chain),
                let handle = rule[Int(NFTA_RULE_HANDLE.rawValue)]?.bigEndianLong,
                let target = rule[Int(NFTA_RULE_EXPRESSIONS.rawValue)]?.nested.jumpTarget,
                KubeProxyChains.contains(target)
            else { return }
            found.append(.jump(chain: chain, handle: handle, target: target))
        }
        items[place]?.append(contentsOf: found)
    }

    // MARK: Removing

    /// Removes everything in one transaction.
    func remove(_ socket: inout NetlinkSocket) throws(NetlinkError) {
        var batch = NetlinkBatch(
            subsystem: Constant.subsystem,
            generation: nil,
            firstSequence: socket.nextSequence()
        )
        for (place, items) in items {
            // The rules that lead to a chain, and the rules in it, must be removed before the
            // chain.
            for case .jump(let chain, let handle, _) in items {
                append(NFT_MSG_DELRULE, place, &batch) {
                    $0.attribute(UInt16(NFTA_RULE_CHAIN.rawValue), chain)
                    $0.attribute(UInt16(NFTA_RULE_HANDLE.rawValue), handle.bigEndian)
                }
            }
            for case .chain(let name) in items {
                append(NFT_MSG_DELRULE, place, &batch) {
                    $0.attribute(UInt16(NFTA_RULE_CHAIN.rawValue), name)
                }
            }
            for case .chain(let name) in items {
                append(NFT_MSG_DELCHAIN, place, &batch) {
                    $0.attribute(UInt16(NFTA_CHAIN_NAME.rawValue), name)
                }
            }
            if items.contains(.table) { append(NFT_MSG_DELTABLE, place, &batch) { _ in } }
        }
        socket.advance(to: batch.sequenceAfter)
        try batch.commit(&socket, subsystem: Constant.subsystem)
    }

    /// Appends a request; its first attribute is the table.
    private func append(
        _ type: nf_tables_msg_types,
        _ place: Place,
        _ batch: inout NetlinkBatch,
        _ body: (inout MessageBuffer) -> Void
    ) {
        batch.append({ "removing what kube-proxy has left in table \(place.table)" }) {
            buffer,
            sequence in
            buffer.beginMessage(
                type: Constant.messageType(type),
                flags: Constant.request,
                sequence: sequence
            )
            buffer.appendNetfilterHeader(family: place.family.netfilterFamily)
            buffer.attribute(UInt16(NFTA_TABLE_NAME.rawValue), place.table)
            body(&buffer)
            buffer.endMessage()
        }
    }
}

extension AttributeReader {
    /// The chain that the verdict in a rule's expressions leads to; nil if there is none.
    fileprivate var jumpTarget: String? {
        for element in self {
            let expression = element.nested
            guard expression[Int(NFTA_EXPR_NAME.rawValue)]?.text == "immediate" else { continue }
            let data = expression[Int(NFTA_EXPR_DATA.rawValue)]?.nested
            let verdict = data?[Int(NFTA_IMMEDIATE_DATA.rawValue)]?
                .nested[Int(NFTA_DATA_VERDICT.rawValue)]?.nested
            if let chain = verdict?[Int(NFTA_VERDICT_CHAIN.rawValue)]?.text { return chain }
        }
        return nil
    }
}
