internal import NFTables
internal import NetworkTypes

extension Ruleset {
    /// A rule's place, and what it says, as far as it is simple: close to nft's notation.
    package func text(_ reference: RuleReference) -> String {
        let rule = tables[reference.table]?.chains[reference.chain]?.rules.first {
            $0.handle == reference.handle
        }
        guard let text = rule?.text, !text.isEmpty else { return reference.description }
        return "\(reference): \(text)"
    }
}

extension Ruleset.Rule {
    /// Nothing that a packet can notice comes of the rule, except that it goes on.
    package var isHarmless: Bool {
        expressions.allSatisfy { expression in
            switch expression {
            case .verdict(let verdict, _): verdict != .drop && verdict != .queue
            case .update: true
            default: !expression.hasEffect
            }
        }
    }

    fileprivate var text: String {
        var names: [UInt32: String] = [:]
        let words = expressions.compactMap { $0.word(&names) }
        let text = words.joined(separator: " ")
        return ["tcp", "udp", "sctp"].reduce(text) { text, name in
            text.replacing("meta l4proto \(name) th ", with: "\(name) ")
        }
    }
}

extension Possibility {
    /// Those that refused, or changed, what became of the packet.
    package func decidingRules(_ ruleset: Ruleset) -> [RuleReference] {
        switch outcome {
        case .dropped, .rejected: return Array(rules.suffix(1))
        case .delivered, .unroutable, .undecided:
            return rules.filter { reference in
                let rules = ruleset.tables[reference.table]?.chains[reference.chain]?.rules ?? []
                return rules.first { $0.handle == reference.handle }?.isChanging ?? false
            }
        }
    }
}

extension Ruleset.Rule {
    fileprivate var isChanging: Bool {
        expressions.contains { expression in
            switch expression {
            case .translate, .masquerade, .redirect, .noTrack, .setMeta(.mark, _), .unknownAction:
                true
            default: false
            }
        }
    }
}

extension KernelExpression {
    /// The expression in a few words; nil if it only fetches what later ones compare.
    fileprivate func word(_ names: inout [UInt32: String]) -> String? {
        switch self {
        case .payload(let base, let offset, let length, let register):
            names[register] = Self.field(base, offset, length)
        case .meta(let key, let register): names[register] = "meta \(Self.name(key))"
        case .connection(let key, _, let register): names[register] = "ct \(Self.name(key))"
        case .route(_, _, let register): names[register] = "fib"
        case .random(let modulus, _, let register):
            names[register] = "numgen random mod \(modulus)"
        case .compare(let comparison, let register, let bytes):
            let name = names[register] ?? "?"
            return name + Self.sign(comparison) + Self.value(bytes, of: name)
        case .range(let negated, let register, let low, let high):
            let name = names[register] ?? "?"
            let range = "\(Self.value(low, of: name))-\(Self.value(high, of: name))"
            return "\(name) \(negated ? "!= " : "")\(range)"
        case .lookup(let set, let register, _, let negated):
            return "\(names[register] ?? "?") \(negated ? "!= " : "")@\(set)"
        default: return action
        }
        return nil
    }

    private var action: String? {
        switch self {
        case .verdict(let verdict, let chain):
            "\(verdict)" + (chain.map { " \($0)" } ?? "")
        case .reject(let type, _): type == .tcpReset ? "reject with tcp reset" : "reject"
        case .translate(let translation): translation.kind == .source ? "snat" : "dnat"
        case .masquerade: "masquerade"
        case .redirect: "redirect"
        case .noTrack: "notrack"
        case .setMeta(let key, _): "meta \(Self.name(key)) set"
        case .unknownMatch(let text), .unknownAction(let text): text
        default: nil
        }
    }

    private static func field(_ base: PayloadBase, _ offset: UInt32, _ length: UInt32) -> String {
        switch (base, offset, length) {
        case (.network, 12, 4): "ip saddr"
        case (.network, 16, 4): "ip daddr"
        case (.network, 8, 16): "ip6 saddr"
        case (.network, 24, 16): "ip6 daddr"
        case (.transport, 0, 2): "th sport"
        case (.transport, 2, 2): "th dport"
        default: "@\(base),\(offset * 8),\(length * 8)"
        }
    }

    private static func name(_ key: MetaKey) -> String {
        let names: [MetaKey: String] = [
            .mark: "mark", .inputName: "iifname", .outputName: "oifname", .family: "nfproto",
            .transport: "l4proto", .etherType: "protocol",
        ]
        return names[key] ?? "\(key.rawValue)"
    }

    private static func name(_ key: ConnectionKey) -> String {
        let names: [ConnectionKey: String] = [
            .state: "state", .status: "status", .mark: "mark", .direction: "direction",
        ]
        return names[key] ?? "\(key.rawValue)"
    }

    private static func sign(_ comparison: Comparison) -> String {
        switch comparison {
        case .equal: " "
        case .notEqual: " != "
        case .less: " < "
        case .lessOrEqual: " <= "
        case .greater: " > "
        case .greaterOrEqual: " >= "
        }
    }

    private static func value(_ bytes: [UInt8], of name: String) -> String {
        if name.hasSuffix("port") { return "\(bytes.reduce(0) { $0 << 8 | Int($1) })" }
        if name.hasSuffix("addr"), let address = IPAddress(networkOrder: bytes) {
            return "\(address)"
        }
        if name.hasSuffix("ifname") {
            return "\"\(String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self))\""
        }
        if name.hasSuffix("l4proto"), bytes.count == 1,
            let transport = TransportProtocol(rawValue: bytes[0])
        {
            return "\(transport)"
        }
        return "0x" + bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}
