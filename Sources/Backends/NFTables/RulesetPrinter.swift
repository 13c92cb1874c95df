package import NetworkTypes

/// Prints a table in nft's syntax, which `render -o nft` shows and `nft -f` loads.
package struct RulesetPrinter {
    package static let tableName = "needletail"
    package static let tableComment = "needletail: Kubernetes service load balancing"

    private let family: IPFamily
    private let unreadable = "?"
    /// Whether to print rules in a form that nft 1.0.6 can read too.
    private let isPortable: Bool

    package init(_ family: IPFamily, isPortable: Bool = false) {
        (self.family, self.isPortable) = (family, isPortable)
    }

    /// Returns a script that makes the whole table and replaces one that exists.
    package func table(_ program: Program, elements: [SetID: [Element]]) -> String {
        let name = "\(family.nftName) \(Self.tableName)"
        var lines = ["table \(name)", "delete table \(name)", "table \(name) {"]
        lines.append("\tcomment \"\(Self.tableComment)\"")
        for set in program.sets {
            lines.append("")
            lines += text(set, elements[set.id] ?? [])
        }
        for chain in program.chains {
            lines.append("")
            lines += text(chain)
        }
        lines.append("}")
        return lines.joined(separator: "\n") + "\n"
    }

    /// Returns the lines of a set, with its elements sorted by key, one per line.
    private func text(_ set: SetDefinition, _ elements: [Element]) -> [String] {
        var type = "\t\ttypeof \(set.key.text(family))"
        switch set.data {
        case nil: break
        case .fields(let fields): type += " : \(fields.text(family))"
        case .affinityTimeout: type += " : verdict"
        }
        var lines = ["\t\(set.data == nil ? "set" : "map") \(set.id.name) {", type]
        if let size = set.size { lines.append("\t\tsize \(size)") }
        if set.isInterval { lines.append("\t\tflags interval") }
        if set.isDynamic { lines.append("\t\tflags dynamic,timeout") }
        if let timeout = set.timeout {
            lines += ["\t\tflags timeout", "\t\ttimeout \(timeout)s"]
        }
        if set.hasCounter { lines.append("\t\tcounter") }
        if !elements.isEmpty {
            let texts = elements.sorted().map { "\t\t\t\(text($0, of: set))" }
            lines.append("\t\telements = {")
            lines.append(texts.joined(separator: ",\n"))
            lines.append("\t\t}")
        }
        return lines + ["\t}"]
    }

    /// Returns an element in nft's syntax; a comment follows the key.
    package func text(_ element: Element, of set: SetDefinition) -> String {
        var text = fields(element.key, end: element.keyEnd, set.key)
        if let comment = element.comment { text += " comment \"\(comment)\"" }
        guard let data = element.data else { return text }
        switch set.data {
        case nil: return text
        case .fields(let fields): return "\(text) : \(self.fields(data, end: nil, fields))"
        case .affinityTimeout:
            var reader = ElementReader(data)
            let chain = reader.hostOrderWord().map { Chain.Name.rememberFor(seconds: $0).text }
            return "\(text) : goto \(chain ?? unreadable)"
        }
    }

    private func fields(_ low: ElementBytes, end: ElementBytes?, _ fields: [PacketField]) -> String
    {
        var low = ElementReader(low)
        var high = end.map(ElementReader.init)
        return fields.map { value(of: $0, &low, &high) }.joined(separator: " . ")
    }

    private func value(
        of field: PacketField,
        _ low: inout ElementReader,
        _ high: inout ElementReader?
    ) -> String {
        switch field {
        case .sourceAddress, .sourceBlock, .destinationAddress, .originalSourceAddress,
            .originalDestinationAddress, .replySourceAddress:
            let (first, last) = (low.address(family), high?.address(family))
            guard let first else { return unreadable }
            guard let last, last != first else { return "\(first)" }
            return prefix(first, last).map(\.description) ?? "\(first)-\(last)"
        case .transportProtocol:
            return low.transport()?.description ?? unreadable
        case .sourcePort, .destinationPort, .originalSourcePort, .originalDestinationPort:
            return low.port().map(String.init) ?? unreadable
        case .random, .clientBucket, .originalClientBucket:
            return low.hostOrderWord().map { "0x" + String($0, radix: 16) } ?? unreadable
        }
    }

    /// Returns the CIDR block with exactly this range; nil if there is none.
    private func prefix(_ first: IPAddress, _ last: IPAddress) -> IPPrefix? {
        (0..<family.bitWidth).lazy.compactMap { IPPrefix(first, length: $0) }
            .first { $0.base == first && $0.last == last }
    }

    // MARK: Chains

    private func text(_ chain: Chain) -> [String] {
        var lines = ["\tchain \(chain.name.text) {"]
        if let base = chain.base { lines.append("\t\t\(base.text)") }
        return lines + chain.rules.map { "\t\t\(portable(text($0)))" } + ["\t}"]
    }

    /// Returns a rule that nft 1.0.6 can read.
    ///
    /// That version accepts a port of connection tracking in a concatenation only if the rule has
    /// matched the protocol before.
    private func portable(_ rule: String) -> String {
        guard isPortable, rule.contains(PacketField.originalDestinationPort.text(family)) else {
            return rule
        }
        return "\(PacketField.transportProtocol.text(family)) { tcp, udp, sctp } \(rule)"
    }

    package func text(_ rule: Rule) -> String {
        rule.statements.map(text).joined(separator: " ")
    }

    private func text(_ statement: Statement) -> String {
        switch statement {
        case .lookup(let fields, let set, let negated):
            "\(fields.text(family)) \(negated ? "!= " : "")@\(set.name)"
        case .state(let state): "ct state \(state)"
        case .isDNATed: "ct status dnat"
        case .sourceIsLocal(let isLocal): "fib saddr type \(isLocal ? "" : "!= ")local"
        case .inputInterfaceIsNot(let name, let isPrefix):
            "iifname != \"\(name.nftQuotable)\(isPrefix ? "*" : "")\""
        case .outputInterfaceIsNot(let name, let isPrefix):
            "oifname != \"\(name.nftQuotable)\(isPrefix ? "*" : "")\""
        case .inputInterfaceIsKnown(let isKnown): "iif \(isKnown ? "!= " : "")0"
        case .transport(let transport, let isEqual):
            "\(PacketField.transportProtocol.text(family)) \(isEqual ? "" : "!= ")\(transport)"
        case .dnat(let fields, let map):
            "dnat \(family.nftName) to \(fields.text(family)) map @\(map.name)"
        case .keepDestination:
            "dnat \(family.nftName) to \(PacketField.destinationAddress.text(family))"
        case .masquerade: "masquerade fully-random"
        case .remember(let timeout):
            "update @affinity { \(PacketField.originalClientBucket.text(family)) . "
                + "\(PacketField.originalFrontend.text(family)) timeout \(timeout)s : "
                + "\(PacketField.endpoint.text(family)) }"
        case .verdict(let fields, let map): "\(fields.text(family)) vmap @\(map.name)"
        case .steer(let isOn):
            "meta mark set meta mark "
                + (isOn
                    ? "| 0x\(String(SteeringMark.bit, radix: 16))"
                    : "& 0x\(String(~SteeringMark.bit, radix: 16))")
        case .counter: "counter"
        case .reject(let withReset): withReset ? "reject with tcp reset" : "reject"
        case .drop: "drop"
        case .returning: "return"
        case .jump(let chain): "jump \(chain.text)"
        case .goto(let chain): "goto \(chain.text)"
        }
    }
}

extension Element: Comparable {
    package static func < (left: Self, right: Self) -> Bool { left.key < right.key }
}

extension ElementBytes: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}
