internal import CNftnl
internal import NFTables

extension LibraryRule {
    /// What the rule is made of.
    ///
    /// An expression that has an attribute of which nothing is known here is unknown as a whole, so rules
    /// that do different things are never equal.
    var expressions: [KernelExpression] {
        var expressions: [KernelExpression] = []
        forEachExpression { expressions.append(ExpressionReader(expression: $0).value) }
        return expressions
    }
}

/// Reads the attributes of an expression that a rule owns.
private struct ExpressionReader {
    let expression: OpaquePointer

    private var name: String {
        String(cString: nftnl_expr_get_str(expression, UInt16(NFTNL_EXPR_NAME)))
    }

    var value: KernelExpression { load ?? match ?? action ?? unknown }

    /// Expressions that only write a register.
    private var load: KernelExpression? {
        switch name {
        case "payload":
            guard let base = KernelExpression.PayloadBase(rawValue: self[NFTNL_EXPR_PAYLOAD_BASE]),
                let register = given(NFTNL_EXPR_PAYLOAD_DREG)
            else { return nil }
            return .payload(
                base,
                offset: self[NFTNL_EXPR_PAYLOAD_OFFSET],
                length: self[NFTNL_EXPR_PAYLOAD_LEN],
                register: register
            )
        case "meta":
            guard let register = given(NFTNL_EXPR_META_DREG) else { return nil }
            return .meta(.init(rawValue: self[NFTNL_EXPR_META_KEY]), register: register)
        case "ct":
            guard let register = given(NFTNL_EXPR_CT_DREG) else { return nil }
            return .connection(connectionKey, of: direction, register: register)
        case "numgen":
            let (modulus, offset) = (self[NFTNL_EXPR_NG_MODULUS], self[NFTNL_EXPR_NG_OFFSET])
            let register = self[NFTNL_EXPR_NG_DREG]
            return self[NFTNL_EXPR_NG_TYPE] == NFT_NG_RANDOM.rawValue
                ? .random(modulus: modulus, offset: offset, register: register)
                : .counting(modulus: modulus, offset: offset, register: register)
        case "hash":
            guard self[NFTNL_EXPR_HASH_TYPE] == NFT_HASH_JENKINS.rawValue else { return nil }
            var hash = KernelExpression.Hash(
                of: self[NFTNL_EXPR_HASH_SREG],
                length: self[NFTNL_EXPR_HASH_LEN],
                modulus: self[NFTNL_EXPR_HASH_MODULUS],
                seed: self[NFTNL_EXPR_HASH_SEED],
                register: self[NFTNL_EXPR_HASH_DREG]
            )
            hash.offset = self[NFTNL_EXPR_HASH_OFFSET]
            return .hash(hash)
        case "fib":
            let result = KernelExpression.RouteResult(rawValue: self[NFTNL_EXPR_FIB_RESULT])
            return result.map {
                let (flags, register) = (self[NFTNL_EXPR_FIB_FLAGS], self[NFTNL_EXPR_FIB_DREG])
                return .route($0, flags: flags, register: register)
            }
        case "immediate":
            guard self[NFTNL_EXPR_IMM_DREG] != NFT_REG_VERDICT.rawValue else { return nil }
            return .immediate(bytes(NFTNL_EXPR_IMM_DATA), register: self[NFTNL_EXPR_IMM_DREG])
        default: return bitwise
        }
    }

    /// Expressions that change what is in a register.
    private var bitwise: KernelExpression? {
        switch name {
        case "bitwise":
            let (source, destination) = (
                self[NFTNL_EXPR_BITWISE_SREG], self[NFTNL_EXPR_BITWISE_DREG]
            )
            let operation = self[NFTNL_EXPR_BITWISE_OP]
            switch operation {
            case NFT_BITWISE_MASK_XOR.rawValue:
                return .mask(
                    from: source,
                    into: destination,
                    bytes(NFTNL_EXPR_BITWISE_MASK),
                    xor: bytes(NFTNL_EXPR_BITWISE_XOR)
                )
            case NFT_BITWISE_LSHIFT.rawValue, NFT_BITWISE_RSHIFT.rawValue:
                let count = bytes(NFTNL_EXPR_BITWISE_DATA).reversed().reduce(0) {
                    $0 << 8 | UInt32($1)
                }
                return .shift(
                    from: source,
                    into: destination,
                    length: self[NFTNL_EXPR_BITWISE_LEN],
                    isLeft: operation == NFT_BITWISE_LSHIFT.rawValue,
                    by: count
                )
            default: return nil
            }
        case "byteorder":
            return .byteOrder(
                from: self[NFTNL_EXPR_BYTEORDER_SREG],
                into: self[NFTNL_EXPR_BYTEORDER_DREG],
                length: self[NFTNL_EXPR_BYTEORDER_LEN],
                size: self[NFTNL_EXPR_BYTEORDER_SIZE],
                toHost: self[NFTNL_EXPR_BYTEORDER_OP] == NFT_BYTEORDER_NTOH.rawValue
            )
        default: return nil
        }
    }

    private var match: KernelExpression? {
        switch name {
        case "cmp":
            let comparison = KernelExpression.Comparison(rawValue: self[NFTNL_EXPR_CMP_OP])
            return comparison.map {
                .compare($0, register: self[NFTNL_EXPR_CMP_SREG], bytes(NFTNL_EXPR_CMP_DATA))
            }
        case "range":
            return .range(
                negated: self[NFTNL_EXPR_RANGE_OP] == NFT_RANGE_NEQ.rawValue,
                register: self[NFTNL_EXPR_RANGE_SREG],
                from: bytes(NFTNL_EXPR_RANGE_FROM_DATA),
                to: bytes(NFTNL_EXPR_RANGE_TO_DATA)
            )
        case "lookup":
            return .lookup(
                text(NFTNL_EXPR_LOOKUP_SET) ?? "",
                register: self[NFTNL_EXPR_LOOKUP_SREG],
                into: given(NFTNL_EXPR_LOOKUP_DREG),
                negated: self[NFTNL_EXPR_LOOKUP_FLAGS] & UInt32(NFT_LOOKUP_F_INV.rawValue) != 0
            )
        // What they have counted is no part of the rule.
        case "counter", "last": return .counter
        case "match":
            let name = text(NFTNL_EXPR_MT_NAME) ?? ""
            // A comment of iptables always matches.
            return name == "comment" ? .counter : .unknownMatch("xt match \(name)")
        // A named counter.
        case "objref" where self[NFTNL_EXPR_OBJREF_IMM_TYPE] == UInt32(NFT_OBJECT_COUNTER):
            return .counter
        // It takes no connection that is new.
        case "flow_offload": return .counter
        case "limit", "quota", "connlimit": return .unknownMatch(description)
        default: return nil
        }
    }

    private var action: KernelExpression? {
        switch name {
        case "nat": return translation
        case "masq":
            var ports = KernelExpression.PortChoice(flags: self[NFTNL_EXPR_MASQ_FLAGS])
            ports.min = given(NFTNL_EXPR_MASQ_REG_PROTO_MIN)
            ports.max = given(NFTNL_EXPR_MASQ_REG_PROTO_MAX)
            return .masquerade(ports)
        case "redir":
            var ports = KernelExpression.PortChoice(flags: self[NFTNL_EXPR_REDIR_FLAGS])
            ports.min = given(NFTNL_EXPR_REDIR_REG_PROTO_MIN)
            ports.max = given(NFTNL_EXPR_REDIR_REG_PROTO_MAX)
            return .redirect(ports)
        case "dynset": return update
        case "reject":
            return KernelExpression.RejectType(rawValue: self[NFTNL_EXPR_REJECT_TYPE]).map {
                .reject($0, code: nftnl_expr_get_u8(expression, UInt16(NFTNL_EXPR_REJECT_CODE)))
            }
        case "meta":
            return given(NFTNL_EXPR_META_SREG).map {
                .setMeta(.init(rawValue: self[NFTNL_EXPR_META_KEY]), register: $0)
            }
        case "ct":
            return given(NFTNL_EXPR_CT_SREG).map {
                .setConnection(connectionKey, of: direction, register: $0)
            }
        case "immediate":
            let code = Int32(bitPattern: self[NFTNL_EXPR_IMM_VERDICT])
            return KernelExpression.Verdict(rawValue: code).map {
                .verdict($0, text(NFTNL_EXPR_IMM_CHAIN))
            }
        case "notrack": return .noTrack
        // A changed option of TCP (`tcp option maxseg size set`) changes no packet's way.
        case "exthdr":
            let isTCP = self[NFTNL_EXPR_EXTHDR_OP] == NFT_EXTHDR_OP_TCPOPT.rawValue
            return isTCP && given(NFTNL_EXPR_EXTHDR_SREG) != nil ? .log(description) : nil
        case "log": return .log(description)
        case "target":
            let name = text(NFTNL_EXPR_TG_NAME) ?? ""
            return Self.passing.contains(name) ? .log(name) : .unknownAction("xt target \(name)")
        default: return nil
        }
    }

    /// Targets of iptables after which a packet goes on as it was.
    private static let passing: Set<String> = [
        "LOG", "NFLOG", "AUDIT", "TRACE", "CHECKSUM", "CLASSIFY", "TCPMSS",
    ]

    private var translation: KernelExpression? {
        guard let kind = KernelExpression.Translation.Kind(rawValue: self[NFTNL_EXPR_NAT_TYPE])
        else { return nil }
        var ports = KernelExpression.PortChoice(flags: self[NFTNL_EXPR_NAT_FLAGS])
        ports.min = given(NFTNL_EXPR_NAT_REG_PROTO_MIN)
        ports.max = given(NFTNL_EXPR_NAT_REG_PROTO_MAX)
        var translation = KernelExpression.Translation(
            kind,
            family: self[NFTNL_EXPR_NAT_FAMILY],
            address: given(NFTNL_EXPR_NAT_REG_ADDR_MIN),
            ports: ports
        )
        translation.addressMax = given(NFTNL_EXPR_NAT_REG_ADDR_MAX)
        return .translate(translation)
    }

    private var update: KernelExpression? {
        typealias Operation = KernelExpression.SetUpdate.Operation
        let isNegated = UInt32(NFT_DYNSET_F_INV.rawValue)
        let flags = self[NFTNL_EXPR_DYNSET_FLAGS]
        guard let operation = Operation(rawValue: self[NFTNL_EXPR_DYNSET_OP]),
            flags & ~isNegated == 0,
            !nftnl_expr_is_set(expression, UInt16(NFTNL_EXPR_DYNSET_EXPR))
        else { return nil }
        var update = KernelExpression.SetUpdate(
            operation,
            text(NFTNL_EXPR_DYNSET_SET_NAME) ?? "",
            key: self[NFTNL_EXPR_DYNSET_SREG_KEY],
            data: given(NFTNL_EXPR_DYNSET_SREG_DATA)
        )
        update.timeout = nftnl_expr_get_u64(expression, UInt16(NFTNL_EXPR_DYNSET_TIMEOUT))
        update.isNegated = flags != 0
        return .update(update)
    }

    private var unknown: KernelExpression { .unknownAction("\(name) \(description)") }

    // MARK: Attributes

    private var connectionKey: KernelExpression.ConnectionKey {
        .init(rawValue: self[NFTNL_EXPR_CT_KEY])
    }

    private var direction: KernelExpression.Direction? {
        guard nftnl_expr_is_set(expression, UInt16(NFTNL_EXPR_CT_DIR)) else { return nil }
        return .init(rawValue: nftnl_expr_get_u8(expression, UInt16(NFTNL_EXPR_CT_DIR)))
    }

    /// The expression in libnftnl's notation.
    private var description: String {
        var text = [CChar](repeating: 0, count: 512)
        nftnl_expr_snprintf(
            &text,
            text.count,
            expression,
            UInt32(NFTNL_OUTPUT_DEFAULT.rawValue),
            0
        )
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// A number; 0 if it is not there.
    private subscript(attribute: Int) -> UInt32 {
        nftnl_expr_get_u32(expression, UInt16(attribute))
    }

    private func given(_ attribute: Int) -> UInt32? {
        nftnl_expr_is_set(expression, UInt16(attribute)) ? self[attribute] : nil
    }

    private func text(_ attribute: Int) -> String? {
        nftnl_expr_get_str(expression, UInt16(attribute)).map { String(cString: $0) }
    }

    private func bytes(_ attribute: Int) -> [UInt8] {
        var length: UInt32 = 0
        let start = nftnl_expr_get(expression, UInt16(attribute), &length)
        return Array(UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(length)))
    }
}
