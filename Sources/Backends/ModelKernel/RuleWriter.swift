internal import NFTables
internal import NetworkTypes

/// Writes the expressions of one rule, in their order, close to nft's notation.
struct RuleWriter {
    /// What a register holds: its name, and the bits that are left of it.
    private struct Value {
        var name: String
        var mask: [UInt8]?
    }

    private var values: [UInt32: Value] = [:]

    /// Returns the expression in a few words; nil if it only fetches what later ones compare.
    mutating func word(for expression: KernelExpression) -> String? {
        switch expression {
        case .payload(let base, let offset, let length, let register):
            name(register, Self.field(base, offset, length))
        case .meta(let key, let register): name(register, Self.name(key))
        case .connection(let key, let direction, let register):
            name(register, Self.name(key, direction))
        case .route(let result, let flags, let register):
            name(register, Self.name(result, flags: flags))
        case .random(let modulus, _, let register):
            name(register, "numgen random mod \(modulus)")
        case .counting(let modulus, _, let register):
            name(register, "numgen inc mod \(modulus)")
        case .mask(let source, let register, let mask, let xor):
            values[register] = values[source]
            values[register]?.mask = mask
            if xor.contains(where: { $0 != 0 }) { values[register] = nil }
        case .compare(let comparison, let register, let bytes):
            return text(of: register, comparison, bytes)
        case .range(let negated, let register, let low, let high):
            let name = values[register]?.name ?? "?"
            let range = "\(Self.value(low, of: name))-\(Self.value(high, of: name))"
            return "\(name) \(negated ? "!= " : "")\(range)"
        case .lookup(let set, let register, _, let negated):
            return "\(values[register]?.name ?? "?") \(negated ? "!= " : "")@\(set)"
        default: return Self.action(expression)
        }
        return nil
    }

    private mutating func name(_ register: UInt32, _ name: String) {
        values[register] = Value(name: name)
    }

    private func text(
        of register: UInt32,
        _ comparison: KernelExpression.Comparison,
        _ bytes: [UInt8]
    ) -> String {
        guard let value = values[register] else {
            return "?" + Self.sign(comparison) + Self.hex(bytes)
        }
        guard let mask = value.mask else {
            return value.name + Self.sign(comparison) + Self.value(bytes, of: value.name)
        }
        if let bits = Self.bits(of: value.name) {
            let zero = bytes.allSatisfy { $0 == 0 }
            let isNegated = (comparison == .equal) == zero
            if zero || bytes == mask, comparison == .equal || comparison == .notEqual {
                return value.name + (isNegated ? " != " : " ") + Self.words(mask, bits)
            }
        }
        if value.name.hasSuffix("addr"), let address = IPAddress(networkOrder: bytes),
            let length = Self.prefixLength(mask)
        {
            return "\(value.name)\(Self.sign(comparison))\(address)/\(length)"
        }
        let sign = comparison == .equal ? " == " : Self.sign(comparison)
        let parts = [mask, bytes].map { Self.value($0, of: value.name) }
        return "\(value.name) & \(parts[0])\(sign)\(parts[1])"
    }

    private static func action(_ expression: KernelExpression) -> String? {
        switch expression {
        case .verdict(let verdict, let chain): "\(verdict)" + (chain.map { " \($0)" } ?? "")
        case .reject(let type, _): type == .tcpReset ? "reject with tcp reset" : "reject"
        case .translate(let translation): translation.kind == .source ? "snat" : "dnat"
        case .masquerade: "masquerade"
        case .redirect: "redirect"
        case .noTrack: "notrack"
        case .setMeta(let key, _): "\(name(key)) set"
        case .unknownMatch(let text), .unknownAction(let text): text
        default: nil
        }
    }

    // MARK: Names

    private static func field(
        _ base: KernelExpression.PayloadBase,
        _ offset: UInt32,
        _ length: UInt32
    ) -> String {
        switch (base, offset, length) {
        case (.network, 12, 4): "ip saddr"
        case (.network, 16, 4): "ip daddr"
        case (.network, 8, 16): "ip6 saddr"
        case (.network, 24, 16): "ip6 daddr"
        case (.transport, 0, 2): "th sport"
        case (.transport, 2, 2): "th dport"
        case (.network, 9, 1): "ip protocol"
        case (.network, 6, 1): "ip6 nexthdr"
        // A block of addresses that ends with a byte is compared as if it were shorter.
        case (.network, 12, 1...3): "ip saddr"
        case (.network, 16, 1...3): "ip daddr"
        case (.network, 8, 2...15): "ip6 saddr"
        case (.network, 24, 2...15): "ip6 daddr"
        default: "@\(base),\(offset * 8),\(length * 8)"
        }
    }

    private static func name(_ key: KernelExpression.MetaKey) -> String {
        switch key {
        case .inputIndex: "iif"
        case .outputIndex: "oif"
        case .inputName: "iifname"
        case .outputName: "oifname"
        case .mark: "meta mark"
        case .family: "meta nfproto"
        case .transport: "meta l4proto"
        case .etherType: "meta protocol"
        default: "meta \(key.rawValue)"
        }
    }

    private static func name(
        _ key: KernelExpression.ConnectionKey,
        _ direction: KernelExpression.Direction?
    ) -> String {
        let names: [KernelExpression.ConnectionKey: String] = [
            .state: "state", .direction: "direction", .status: "status", .mark: "mark",
            .family: "l3proto", .source: "saddr", .destination: "daddr", .transport: "protocol",
            .sourcePort: "proto-src", .destinationPort: "proto-dst", .labels: "label",
            .sourceIPv4: "ip saddr", .destinationIPv4: "ip daddr", .sourceIPv6: "ip6 saddr",
            .destinationIPv6: "ip6 daddr",
        ]
        let side = direction.map { $0 == .original ? "original " : "reply " } ?? ""
        return "ct \(side)\(names[key] ?? "\(key.rawValue)")"
    }

    /// Names what `fib` finds; its flags are `NFTA_FIB_F_…` of `linux/netfilter/nf_tables.h`.
    private static func name(_ result: KernelExpression.RouteResult, flags: UInt32) -> String {
        let parts = ["saddr", "daddr", "mark", "iif", "oif"].enumerated()
            .filter { flags & 1 << UInt32($0.offset) != 0 }.map(\.element)
        let what =
            switch result {
            case .interface: "oif"
            case .interfaceName: "oifname"
            case .addressType: "type"
            }
        return "fib \(parts.joined(separator: " . ")) \(what)"
    }

    // MARK: Values

    private static func sign(_ comparison: KernelExpression.Comparison) -> String {
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
        let word = word(bytes)
        if name.hasSuffix("port") || name.hasPrefix("ct") && name.contains(" proto-") {
            return "\(bytes.reduce(0) { $0 << 8 | Int($1) })"
        }
        if name.hasSuffix("addr"), let address = address(bytes, of: name) { return address }
        if name.hasSuffix("nfproto"), let family = bytes.first.flatMap(Ruleset.Family.init) {
            return family == .ip ? "ipv4" : family == .ip6 ? "ipv6" : hex(bytes)
        }
        if name.hasSuffix(" mark"), let word {
            return hex(withUnsafeBytes(of: word.bigEndian, Array.init))
        }
        if name.hasSuffix("ifname") {
            // A whole name ends with a zero; the beginning of names does not.
            let text = String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            return "\"\(text)\(bytes.contains(0) ? "" : "*")\""
        }
        if ["l4proto", "ip protocol", "nexthdr"].contains(where: name.hasSuffix),
            let protocolName = bytes.first.flatMap({ protocolNames[$0] })
        {
            return protocolName
        }
        if name.hasSuffix("direction") { return bytes == [0] ? "original" : "reply" }
        // The values are those of `RTN_UNICAST` and its like in `linux/rtnetlink.h`.
        if name.hasPrefix("fib"), name.hasSuffix("type"), let word, word <= 8 {
            return [
                "unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole",
                "unreachable", "prohibit",
            ][Int(word)]
        }
        if name.hasPrefix("fib"), word == 0 { return "missing" }
        if name.hasSuffix("iif") || name.hasSuffix("oif"), let word { return "\(word)" }
        return hex(bytes)
    }

    /// What nft calls the numbers of IANA.
    private static let protocolNames: [UInt8: String] = [
        1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 50: "esp", 51: "ah", 58: "ipv6-icmp",
        108: "comp", 132: "sctp", 136: "udplite",
    ]

    /// An address, or a block of which the first bytes are given.
    private static func address(_ bytes: [UInt8], of name: String) -> String? {
        if let address = IPAddress(networkOrder: bytes) { return "\(address)" }
        let count = name.contains("ip6") ? 16 : 4
        guard bytes.count < count else { return nil }
        let whole = bytes + [UInt8](repeating: 0, count: count - bytes.count)
        return IPAddress(networkOrder: whole).map { "\($0)/\(bytes.count * 8)" }
    }

    /// A number in the machine's order, as the kernel keeps most of them.
    private static func word(_ bytes: [UInt8]) -> UInt32? {
        guard bytes.count == 4 else { return nil }
        return bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        "0x" + bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// The length of the prefix that a mask leaves; nil if it is none.
    private static func prefixLength(_ mask: [UInt8]) -> Int? {
        let length = mask.reduce(0) { $0 + $1.nonzeroBitCount }
        let leading = mask.reduce((count: 0, isDone: false)) { state, byte in
            let ones = (~byte).leadingZeroBitCount
            return state.isDone ? state : (state.count + ones, ones < 8)
        }
        return leading.count == length ? length : nil
    }

    /// The bits of a value that nft names: `NF_CT_STATE_BIT` and `enum ip_conntrack_status`.
    private static func bits(of name: String) -> [(bit: UInt32, name: String)]? {
        switch name {
        case "ct state":
            [
                (1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (64, "untracked"),
            ]
        case "ct status":
            [
                (1, "expected"), (2, "seen-reply"), (4, "assured"), (8, "confirmed"),
                (0x10, "snat"), (0x20, "dnat"), (0x200, "dying"),
            ]
        default: nil
        }
    }

    private static func words(_ mask: [UInt8], _ bits: [(bit: UInt32, name: String)]) -> String {
        guard let word = word(mask), bits.reduce(0, { $0 | $1.bit }) & word == word else {
            return hex(mask)
        }
        return bits.filter { word & $0.bit != 0 }.map(\.name).joined(separator: ",")
    }
}
