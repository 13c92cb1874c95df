internal import CMnl
internal import CNftnl
internal import NFTables
internal import NetworkTypes

/// Owns a `struct nftnl_rule` and the expressions in it.
struct LibraryRule: ~Copyable {
    private let handle = nftnl_rule_alloc()

    /// A rule of ours; without expressions it means all rules of the chain, for deletion.
    init(_ family: IPFamily, table: String, chain: Chain.Name, _ expressions: [KernelExpression]) {
        nftnl_rule_set_str(handle, UInt16(NFTNL_RULE_TABLE.rawValue), table)
        nftnl_rule_set_str(handle, UInt16(NFTNL_RULE_CHAIN.rawValue), chain.text)
        for expression in expressions { add(expression, family) }
    }

    init?(parsing header: UnsafePointer<nlmsghdr>) {
        guard nftnl_rule_nlmsg_parse(header, handle) == 0 else { return nil }
    }

    deinit { nftnl_rule_free(handle) }

    func write(_ header: UnsafeMutablePointer<nlmsghdr>) {
        nftnl_rule_nlmsg_build_payload(header, handle)
    }

    var chainName: String {
        nftnl_rule_get_str(handle, UInt16(NFTNL_RULE_CHAIN.rawValue)).map { String(cString: $0) }
            ?? ""
    }

    /// The expressions in libnftnl's notation, equal exactly if the rules do the same; and the
    /// number in the rule, if it has one (`ProgramNumbers`).
    var fingerprint: RuleFingerprint {
        var fingerprint = RuleFingerprint()
        guard let iterator = nftnl_expr_iter_create(handle) else { return fingerprint }
        defer { nftnl_expr_iter_destroy(iterator) }
        while let expression = nftnl_expr_iter_next(iterator) {
            fingerprint.add(expression)
        }
        return fingerprint
    }
}

struct RuleFingerprint: Equatable {
    private(set) var expressions: [String] = []
    private(set) var number: UInt32?

    fileprivate mutating func add(_ expression: OpaquePointer) {
        let name = String(cString: nftnl_expr_get_str(expression, UInt16(NFTNL_EXPR_NAME)))
        switch name {
        case "numgen":
            number = nftnl_expr_get_u32(expression, UInt16(NFTNL_EXPR_NG_MODULUS))
        case "lookup":
            let set = nftnl_expr_get_str(expression, UInt16(NFTNL_EXPR_LOOKUP_SET))
            number = set.flatMap { SetID.sourceLength(String(cString: $0)) } ?? number
        case "counter":
            // What it has counted is no part of the rule.
            expressions.append(name)
            return
        default: break
        }
        var text = [CChar](repeating: 0, count: 512)
        nftnl_expr_snprintf(
            &text,
            text.count,
            expression,
            UInt32(NFTNL_OUTPUT_DEFAULT.rawValue),
            0
        )
        let bytes = text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
        expressions.append("\(name) \(String(decoding: bytes, as: UTF8.self))")
    }
}

extension LibraryRule {
    private func add(_ expression: KernelExpression, _ family: IPFamily) {
        switch expression {
        case .payload(let base, let offset, let length, let register):
            let payload = make("payload")
            payload.set(NFTNL_EXPR_PAYLOAD_BASE, base.rawValue)
            payload.set(NFTNL_EXPR_PAYLOAD_OFFSET, offset)
            payload.set(NFTNL_EXPR_PAYLOAD_LEN, length)
            payload.set(NFTNL_EXPR_PAYLOAD_DREG, register)
        case .meta(let key, let register):
            let meta = make("meta")
            meta.set(NFTNL_EXPR_META_KEY, key.rawValue)
            meta.set(NFTNL_EXPR_META_DREG, register)
        case .connection(let key, let direction, let register):
            let ct = make("ct")
            ct.set(NFTNL_EXPR_CT_KEY, key.rawValue)
            ct.set(NFTNL_EXPR_CT_DREG, register)
            if let direction { ct.set(NFTNL_EXPR_CT_DIR, byte: direction.rawValue) }
        case .random(let modulus, let offset, let register):
            let numgen = make("numgen")
            numgen.set(NFTNL_EXPR_NG_DREG, register)
            numgen.set(NFTNL_EXPR_NG_TYPE, UInt32(NFT_NG_RANDOM.rawValue))
            numgen.set(NFTNL_EXPR_NG_MODULUS, modulus)
            numgen.set(NFTNL_EXPR_NG_OFFSET, offset)
        case .clientBucket(let address, let length, let register):
            let hash = make("hash")
            hash.set(NFTNL_EXPR_HASH_SREG, address)
            hash.set(NFTNL_EXPR_HASH_DREG, register)
            hash.set(NFTNL_EXPR_HASH_LEN, length)
            hash.set(NFTNL_EXPR_HASH_MODULUS, ClientBucket.count)
            hash.set(NFTNL_EXPR_HASH_SEED, ClientBucket.seed)
            hash.set(NFTNL_EXPR_HASH_TYPE, UInt32(NFT_HASH_JENKINS.rawValue))
        case .sourceAddressType(let register):
            let fib = make("fib")
            fib.set(NFTNL_EXPR_FIB_DREG, register)
            fib.set(NFTNL_EXPR_FIB_RESULT, UInt32(NFT_FIB_RESULT_ADDRTYPE.rawValue))
            fib.set(NFTNL_EXPR_FIB_FLAGS, UInt32(NFTA_FIB_F_SADDR.rawValue))
        case .mask(let register, let mask, let xor):
            let bitwise = make("bitwise")
            bitwise.set(NFTNL_EXPR_BITWISE_SREG, register)
            bitwise.set(NFTNL_EXPR_BITWISE_DREG, register)
            bitwise.set(NFTNL_EXPR_BITWISE_LEN, UInt32(mask.count))
            bitwise.set(NFTNL_EXPR_BITWISE_MASK, mask)
            bitwise.set(NFTNL_EXPR_BITWISE_XOR, xor)
        case .compare(let comparison, let register, let bytes):
            let cmp = make("cmp")
            cmp.set(NFTNL_EXPR_CMP_SREG, register)
            cmp.set(NFTNL_EXPR_CMP_OP, comparison.rawValue)
            cmp.set(NFTNL_EXPR_CMP_DATA, bytes)
        case .lookup(let set, let register, let destination, let negated):
            let lookup = make("lookup")
            lookup.set(NFTNL_EXPR_LOOKUP_SREG, register)
            lookup.set(NFTNL_EXPR_LOOKUP_SET, set.name)
            if let destination { lookup.set(NFTNL_EXPR_LOOKUP_DREG, destination) }
            lookup.set(NFTNL_EXPR_LOOKUP_FLAGS, negated ? UInt32(NFT_LOOKUP_F_INV.rawValue) : 0)
        case .counter:
            _ = make("counter")
        default: addAction(expression, family)
        }
    }

    private func addAction(_ expression: KernelExpression, _ family: IPFamily) {
        switch expression {
        case .dnat(let address, let port):
            let nat = make("nat")
            nat.set(NFTNL_EXPR_NAT_TYPE, UInt32(NFT_NAT_DNAT.rawValue))
            nat.set(NFTNL_EXPR_NAT_FAMILY, UInt32(family.netfilterFamily))
            nat.set(NFTNL_EXPR_NAT_REG_ADDR_MIN, address)
            nat.set(NFTNL_EXPR_NAT_REG_ADDR_MAX, address)
            if let port {
                nat.set(NFTNL_EXPR_NAT_REG_PROTO_MIN, port)
                nat.set(NFTNL_EXPR_NAT_REG_PROTO_MAX, port)
            }
            // NF_NAT_RANGE_MAP_IPS and NF_NAT_RANGE_PROTO_SPECIFIED
            nat.set(NFTNL_EXPR_NAT_FLAGS, port == nil ? 1 : 1 | 2)
        case .setMeta(let key, let register):
            let meta = make("meta")
            meta.set(NFTNL_EXPR_META_KEY, key.rawValue)
            meta.set(NFTNL_EXPR_META_SREG, register)
        case .masquerade:
            // NF_NAT_RANGE_PROTO_RANDOM_FULLY
            make("masq").set(NFTNL_EXPR_MASQ_FLAGS, 1 << 4)
        case .updateMap(let set, let key, let data, let timeout):
            let dynset = make("dynset")
            dynset.set(NFTNL_EXPR_DYNSET_OP, UInt32(NFT_DYNSET_OP_UPDATE.rawValue))
            dynset.set(NFTNL_EXPR_DYNSET_SREG_KEY, key)
            dynset.set(NFTNL_EXPR_DYNSET_SREG_DATA, data)
            dynset.set(NFTNL_EXPR_DYNSET_SET_NAME, set.name)
            dynset.set(NFTNL_EXPR_DYNSET_TIMEOUT, long: timeout)
        case .reject(let type, let code):
            let reject = make("reject")
            reject.set(NFTNL_EXPR_REJECT_TYPE, type.rawValue)
            reject.set(NFTNL_EXPR_REJECT_CODE, byte: code)
        case .verdict(let verdict, let chain):
            let immediate = make("immediate")
            immediate.set(NFTNL_EXPR_IMM_DREG, UInt32(NFT_REG_VERDICT.rawValue))
            if let chain { immediate.set(NFTNL_EXPR_IMM_CHAIN, chain.text) }
            immediate.set(NFTNL_EXPR_IMM_VERDICT, UInt32(bitPattern: verdict.rawValue))
        default: preconditionFailure("\(expression) is no action")
        }
    }

    /// Adds an expression to the rule, which owns it from then on.
    private func make(_ name: String) -> ExpressionHandle {
        guard let expression = nftnl_expr_alloc(name) else {
            preconditionFailure("libnftnl has no \(name) expression")
        }
        nftnl_rule_add_expr(handle, expression)
        return ExpressionHandle(expression: expression)
    }
}

/// Sets attributes of an expression that a rule owns.
private struct ExpressionHandle {
    let expression: OpaquePointer

    func set(_ attribute: Int, _ value: UInt32) {
        nftnl_expr_set_u32(expression, UInt16(attribute), value)
    }

    func set(_ attribute: Int, byte value: UInt8) {
        nftnl_expr_set_u8(expression, UInt16(attribute), value)
    }

    func set(_ attribute: Int, long value: UInt64) {
        nftnl_expr_set_u64(expression, UInt16(attribute), value)
    }

    func set(_ attribute: Int, _ value: String) {
        nftnl_expr_set_str(expression, UInt16(attribute), value)
    }

    func set(_ attribute: Int, _ value: [UInt8]) {
        nftnl_expr_set(expression, UInt16(attribute), value, UInt32(value.count))
    }
}
