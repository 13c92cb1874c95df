internal import CNftnl
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// Collects the elements of one set from the messages of a dump.
struct ElementParser {
    let set: SetDefinition
    private(set) var elements = ElementTable()
    /// The number of packets that have matched each element, in sets that count them.
    private(set) var counters: [ElementBytes: UInt64] = [:]
    /// Whether an element came twice, in which case another one may be missing.
    private(set) var hasDuplicates = false
    /// The bounds of the ranges in an interval set; true if a range ends just before the key, false
    /// if one starts there.
    private var bounds: [ElementBytes: Bool] = [:]

    init(_ set: SetDefinition) { self.set = set }

    mutating func removeAll() {
        elements = ElementTable()
        counters = [:]
        bounds = [:]
        hasDuplicates = false
    }

    mutating func add(_ message: NetlinkMessage) {
        let list = message.netfilterAttributes[Int(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue)]
        for attribute in list?.nested ?? .none {
            add(attribute.nested)
        }
    }

    private mutating func add(_ attributes: AttributeReader) {
        var key: ElementBytes?
        var keyEnd: ElementBytes?
        var data: ElementBytes?
        var comment: String?
        var isEnd = false
        var count: UInt64?
        for attribute in attributes {
            switch UInt32(attribute.type) {
            case NFTA_SET_ELEM_KEY.rawValue: key = attribute.elementValue
            case NFTA_SET_ELEM_KEY_END.rawValue: keyEnd = attribute.elementValue
            case NFTA_SET_ELEM_DATA.rawValue:
                data = set.data == .affinityTimeout ? timeout(attribute) : attribute.elementValue
            case NFTA_SET_ELEM_FLAGS.rawValue:
                isEnd =
                    (attribute.bigEndianWord ?? 0) & UInt32(NFT_SET_ELEM_INTERVAL_END.rawValue) != 0
            case NFTA_SET_ELEM_USERDATA.rawValue: comment = text(attribute)
            case NFTA_SET_ELEM_EXPR.rawValue: count = attribute.counterPackets
            default: break
            }
        }
        guard let key else { return }
        if set.isInterval {
            bounds[key] = isEnd
        } else {
            let element = Element(key: key, keyEnd: keyEnd, data: data, comment: comment)
            if let count { counters[key] = count }
            if elements.insert(element) { hasDuplicates = true }
        }
    }

    /// Returns the seconds in the name of the chain that a verdict leads to; nil for other
    /// verdicts.
    private func timeout(_ attribute: AttributeReader.Attribute) -> ElementBytes? {
        let verdict = attribute.nested[Int(NFTA_DATA_VERDICT.rawValue)]?.nested
        let code = verdict?[Int(NFTA_VERDICT_CODE.rawValue)]?.bigEndianWord
        let chain = verdict?[Int(NFTA_VERDICT_CHAIN.rawValue)]?.text
        guard code == UInt32(bitPattern: KernelExpression.Verdict.goto.rawValue),
            let seconds = chain.flatMap(Chain.Name.affinityTimeout)
        else { return nil }
        var bytes = ElementBytes()
        bytes.append(hostOrder: seconds)
        return bytes
    }

    private func text(_ attribute: AttributeReader.Attribute) -> String? {
        let bytes = attribute.payload
        guard bytes.count > 2, bytes[0] == 0, Int(bytes[1]) + 2 <= bytes.count else { return nil }
        return String(decoding: bytes[2..<(Int(bytes[1]) + 2)].prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Joins the bounds of an interval set into ranges.
    ///
    /// nft begins an interval set with an end at zero, which belongs to no range.
    mutating func finish(_ family: IPFamily) {
        guard set.isInterval else { return }
        var start: ElementBytes?
        for (key, isEnd) in bounds.sorted(by: { $0.key < $1.key }) {
            if let first = start, isEnd {
                elements.insert(Element(key: first, keyEnd: key.predecessor))
            }
            start = isEnd ? nil : key
        }
        if let start {
            let highest = [UInt8](repeating: 0xFF, count: set.keyLength(family))
            elements.insert(
                Element(key: start, keyEnd: highest.withUnsafeBytes { ElementBytes($0) })
            )
        }
    }
}

extension AttributeReader.Attribute {
    /// The bytes of a key or of data; nil for verdicts, and for those that none of our sets has.
    var elementValue: ElementBytes? {
        guard let value = nested[Int(NFTA_DATA_VALUE.rawValue)]?.payload,
            value.count <= ElementBytes.capacity
        else { return nil }
        return ElementBytes(value)
    }

    /// What an expression has counted, if it is a counter.
    var counterPackets: UInt64? {
        guard nested[Int(NFTA_EXPR_NAME.rawValue)]?.text == "counter" else { return nil }
        return nested[Int(NFTA_EXPR_DATA.rawValue)]?
            .nested[Int(NFTA_COUNTER_PACKETS.rawValue)]?.bigEndianLong
    }
}
