internal import CMnl
internal import CNftnl
internal import NFTables

/// Owns a `struct nftnl_rule` and the expressions in it.
struct LibraryRule: ~Copyable {
    private let handle = nftnl_rule_alloc()

    /// A rule; without expressions it means all rules of the chain, for deletion.
    init(table: String, chain: Chain.Name, _ expressions: [KernelExpression]) {
        self.init(table: table, chainNamed: chain.text, expressions)
    }

    init(table: String, chainNamed chain: String, _ expressions: [KernelExpression]) {
        nftnl_rule_set_str(handle, UInt16(NFTNL_RULE_TABLE.rawValue), table)
        nftnl_rule_set_str(handle, UInt16(NFTNL_RULE_CHAIN.rawValue), chain)
        for expression in expressions { add(expression) }
    }

    init?(parsing header: UnsafePointer<nlmsghdr>) {
        guard nftnl_rule_nlmsg_parse(header, handle) == 0 else { return nil }
    }

    deinit { nftnl_rule_free(handle) }

    func write(_ header: UnsafeMutablePointer<nlmsghdr>) {
        nftnl_rule_nlmsg_build_payload(header, handle)
    }

    var chainName: String { text(NFTNL_RULE_CHAIN) }

    var tableName: String { text(NFTNL_RULE_TABLE) }

    /// The number that the kernel has given the rule.
    var number: UInt64 { nftnl_rule_get_u64(handle, UInt16(NFTNL_RULE_HANDLE.rawValue)) }

    private func text(_ attribute: nftnl_rule_attr) -> String {
        nftnl_rule_get_str(handle, UInt16(attribute.rawValue)).map { String(cString: $0) } ?? ""
    }

    /// Calls the body with each expression, in order.
    func forEachExpression(_ body: (OpaquePointer) -> Void) {
        guard let iterator = nftnl_expr_iter_create(handle) else { return }
        defer { nftnl_expr_iter_destroy(iterator) }
        while let expression = nftnl_expr_iter_next(iterator) { body(expression) }
    }
}

extension LibraryRule {
    private func add(_ expression: KernelExpression) {
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
        case .hash(let jenkins):
            let hash = make("hash")
            hash.set(NFTNL_EXPR_HASH_SREG, jenkins.source)
            hash.set(NFTNL_EXPR_HASH_DREG, jenkins.register)
            hash.set(NFTNL_EXPR_HASH_LEN, jenkins.length)
            hash.set(NFTNL_EXPR_HASH_MODULUS, jenkins.modulus)
            hash.set(NFTNL_EXPR_HASH_SEED, jenkins.seed)
            hash.set(NFTNL_EXPR_HASH_TYPE, UInt32(NFT_HASH_JENKINS.rawValue))
        case .route(let result, let flags, let register):
            let fib = make("fib")
            fib.set(NFTNL_EXPR_FIB_DREG, register)
            fib.set(NFTNL_EXPR_FIB_RESULT, result.rawValue)
            fib.set(NFTNL_EXPR_FIB_FLAGS, flags)
        case .mask(let source, let destination, let mask, let xor):
            let bitwise = make("bitwise")
            bitwise.set(NFTNL_EXPR_BITWISE_SREG, source)
            bitwise.set(NFTNL_EXPR_BITWISE_DREG, destination)
            bitwise.set(NFTNL_EXPR_BITWISE_LEN, UInt32(mask.count))
            bitwise.set(NFTNL_EXPR_BITWISE_MASK, mask)
            bitwise.set(NFTNL_EXPR_BITWISE_XOR, xor)
        case .compare(let comparison, let register, let bytes):
            let cmp = make("cmp")
            cmp.set(NFTNL_EXPR_CMP_SREG, register)
            cmp.set(NFTNL_EXPR_CMP_OP, comparison.rawValue)
            cmp.set(NFTNL_EXPR_CMP_DATA, bytes)
        default: addAction(expression)
        }
    }

    private func addAction(_ expression: KernelExpression) {
        switch expression {
        case .lookup(let set, let register, let destination, let negated):
            let lookup = make("lookup")
            lookup.set(NFTNL_EXPR_LOOKUP_SREG, register)
            lookup.set(NFTNL_EXPR_LOOKUP_SET, set)
            if let destination { lookup.set(NFTNL_EXPR_LOOKUP_DREG, destination) }
            lookup.set(NFTNL_EXPR_LOOKUP_FLAGS, negated ? UInt32(NFT_LOOKUP_F_INV.rawValue) : 0)
        case .counter: _ = make("counter")
        case .translate(let translation):
            let nat = make("nat")
            nat.set(NFTNL_EXPR_NAT_TYPE, translation.kind.rawValue)
            nat.set(NFTNL_EXPR_NAT_FAMILY, translation.family)
            nat.set(NFTNL_EXPR_NAT_REG_ADDR_MIN, ifGiven: translation.addressMin)
            nat.set(NFTNL_EXPR_NAT_REG_ADDR_MAX, ifGiven: translation.addressMax)
            nat.set(NFTNL_EXPR_NAT_REG_PROTO_MIN, ifGiven: translation.ports.min)
            nat.set(NFTNL_EXPR_NAT_REG_PROTO_MAX, ifGiven: translation.ports.max)
            nat.set(NFTNL_EXPR_NAT_FLAGS, translation.ports.flags)
        case .setMeta(let key, let register):
            let meta = make("meta")
            meta.set(NFTNL_EXPR_META_KEY, key.rawValue)
            meta.set(NFTNL_EXPR_META_SREG, register)
        case .immediate(let bytes, let register):
            let immediate = make("immediate")
            immediate.set(NFTNL_EXPR_IMM_DREG, register)
            immediate.set(NFTNL_EXPR_IMM_DATA, bytes)
        case .masquerade(let ports):
            make("masq").set(NFTNL_EXPR_MASQ_FLAGS, ports.flags)
        case .update(let update):
            let dynset = make("dynset")
            dynset.set(NFTNL_EXPR_DYNSET_OP, update.operation.rawValue)
            dynset.set(NFTNL_EXPR_DYNSET_SREG_KEY, update.key)
            dynset.set(NFTNL_EXPR_DYNSET_SREG_DATA, ifGiven: update.data)
            dynset.set(NFTNL_EXPR_DYNSET_SET_NAME, update.set)
            dynset.set(NFTNL_EXPR_DYNSET_TIMEOUT, long: update.timeout)
        case .reject(let type, let code):
            let reject = make("reject")
            reject.set(NFTNL_EXPR_REJECT_TYPE, type.rawValue)
            reject.set(NFTNL_EXPR_REJECT_CODE, byte: code)
        case .verdict(let verdict, let chain):
            let immediate = make("immediate")
            immediate.set(NFTNL_EXPR_IMM_DREG, UInt32(NFT_REG_VERDICT.rawValue))
            if let chain { immediate.set(NFTNL_EXPR_IMM_CHAIN, chain) }
            immediate.set(NFTNL_EXPR_IMM_VERDICT, UInt32(bitPattern: verdict.rawValue))
        default: preconditionFailure("no rule of ours has \(expression)")
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

    func set(_ attribute: Int, ifGiven value: UInt32?) {
        if let value { set(attribute, value) }
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
