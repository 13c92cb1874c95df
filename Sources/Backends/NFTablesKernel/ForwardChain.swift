internal import Backend
internal import CMnl
internal import CNftnl
internal import NFTables
internal import Netlink

extension ForwardChain {
    private static let forwardHook = 2
    /// NFPROTO_INET, NFPROTO_IPV4 and NFPROTO_IPV6; bridges and devices have hooks of their own.
    private static let protocols: Set<UInt8> = [1, 2, 10]

    /// Reads all base chains at the forward hook, except those of needletail's tables.
    static func read(_ socket: inout NetlinkSocket) throws(NetlinkError) -> [ForwardChain] {
        var found: [(place: ChainPlace, drops: Bool)] = []
        try socket.dump("the chains", NFT_MSG_GETCHAIN, netfilterFamily: 0, restart: { found = [] })
        {
            let chain = $0.netfilterAttributes
            let hook = chain[Int(NFTA_CHAIN_HOOK.rawValue)]?.nested
            guard protocols.contains($0.netfilterFamily),
                hook?[Int(NFTA_HOOK_HOOKNUM.rawValue)]?.bigEndianWord == UInt32(forwardHook),
                let table = chain[Int(NFTA_CHAIN_TABLE.rawValue)]?.text,
                table != RulesetPrinter.tableName,
                let name = chain[Int(NFTA_CHAIN_NAME.rawValue)]?.text
            else { return }
            let policy = chain[Int(NFTA_CHAIN_POLICY.rawValue)]?.bigEndianWord
            found.append((ChainPlace($0.netfilterFamily, table, name), policy == Constant.drop))
        }
        var chains: [ForwardChain] = []
        for (place, drops) in found {
            let rules = try rules(of: place, &socket)
            chains.append(ForwardChain(place, rules, hasDropPolicy: drops))
        }
        return chains
    }

    private static func rules(
        of place: ChainPlace,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [ForwardRule] {
        var rules: [ForwardRule] = []
        try socket.dump(
            "the rules of chain \(place.chain) of table \(place.table)",
            NFT_MSG_GETRULE,
            netfilterFamily: place.family,
            attributes: {
                $0.attribute(UInt16(NFTA_RULE_TABLE.rawValue), place.table)
                $0.attribute(UInt16(NFTA_RULE_CHAIN.rawValue), place.chain)
            },
            restart: { rules = [] }
        ) { message in
            guard let expressions = message.netfilterAttributes[Int(NFTA_RULE_EXPRESSIONS.rawValue)]
            else { return }
            rules.append(ForwardRule(expressions.nested))
        }
        return rules
    }

    private init(_ place: ChainPlace, _ rules: [ForwardRule], hasDropPolicy: Bool) {
        let last = rules.firstIndex { !$0.hasConditions && $0.verdict.isFinal }
        let before = rules[..<(last ?? rules.endIndex)]
        let ending: Ending =
            switch last.map({ rules[$0].verdict }) {
            case .accept?: .accepted
            case .refuse(let word)?: .refusedByRule(word)
            default: hasDropPolicy ? .droppedByPolicy : .accepted
            }
        var targets: [String] = []
        for case .chain(let name) in before.map(\.verdict) where !targets.contains(name) {
            targets.append(name)
        }
        self.init(
            place: place,
            ending: ending,
            ruleCount: before.count,
            targets: targets,
            acceptsServices: before.contains { $0.matchesTranslated && $0.verdict == .accept }
        )
    }
}

/// The parts of a rule that matter for forwarding.
private struct ForwardRule {
    enum Verdict: Equatable {
        case none, accept
        /// `drop` or `reject`.
        case refuse(String)
        case chain(String)

        var isFinal: Bool {
            switch self {
            case .accept, .refuse: true
            case .none, .chain: false
            }
        }
    }

    private(set) var verdict = Verdict.none
    private(set) var hasConditions = false
    /// Whether the only condition is that the destination was translated.
    private(set) var matchesTranslated = false

    /// NFT_CT_STATUS of `enum nft_ct_keys` and IPS_DST_NAT of `nf_conntrack_common.h`.
    private static let (statusKey, translated): (UInt32, UInt32) = (2, 1 << 5)

    init(_ expressions: AttributeReader) {
        var conditions: [(name: String, data: AttributeReader)] = []
        for element in expressions {
            let name = element.nested[Int(NFTA_EXPR_NAME.rawValue)]?.text ?? ""
            guard let data = element.nested[Int(NFTA_EXPR_DATA.rawValue)]?.nested else { continue }
            switch name {
            case "counter", "log": break
            case "immediate": if let found = Self.verdict(data) { verdict = found }
            case "reject": verdict = .refuse("reject")
            case "target":
                // A target of iptables; its DROP and ACCEPT are verdicts of nf_tables.
                if data[Constant.targetName]?.text == "REJECT" {
                    verdict = .refuse("reject")
                }
            default: conditions.append((name, data))
            }
        }
        hasConditions = !conditions.isEmpty
        guard conditions.map(\.name) == ["ct", "bitwise", "cmp"] else { return }
        let mask = conditions[1].data[Int(NFTA_BITWISE_MASK.rawValue)]?
            .nested[Int(NFTA_DATA_VALUE.rawValue)]?.word
        matchesTranslated =
            conditions[0].data[Int(NFTA_CT_KEY.rawValue)]?.bigEndianWord == Self.statusKey
            && (mask ?? 0) & Self.translated != 0
            && conditions[2].data[Int(NFTA_CMP_OP.rawValue)]?.bigEndianWord == NFT_CMP_NEQ.rawValue
    }

    private static func verdict(_ immediate: AttributeReader) -> Verdict? {
        let data = immediate[Int(NFTA_IMMEDIATE_DATA.rawValue)]?.nested
        guard let verdict = data?[Int(NFTA_DATA_VERDICT.rawValue)]?.nested,
            let code = verdict[Int(NFTA_VERDICT_CODE.rawValue)]?.bigEndianWord
        else { return nil }
        if let chain = verdict[Int(NFTA_VERDICT_CHAIN.rawValue)]?.text { return .chain(chain) }
        switch code {
        case Constant.drop: return .refuse("drop")
        case Constant.accept: return .accept
        default: return Verdict.none
        }
    }
}
