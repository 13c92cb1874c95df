internal import CMnl
internal import CNftnl
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// A message whose body libnftnl writes: for tables, sets, chains and rules, of which there are
/// few.
struct LibraryMessage: ~Copyable {
    /// The memory that libnftnl writes to without checking bounds; a rule of needletail's takes
    /// about 1 kB.
    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 32 * 1024, alignment: 8)
    let header: UnsafeMutablePointer<nlmsghdr>

    init(_ type: nf_tables_msg_types, _ family: IPFamily, flags: UInt16, sequence: UInt32) {
        header = nftnl_nlmsg_build_hdr(
            memory.baseAddress,
            UInt16(type.rawValue),
            UInt16(family.netfilterFamily),
            flags,
            sequence
        )
    }

    deinit { memory.deallocate() }

    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: header, count: Int(header.pointee.nlmsg_len))
    }
}

extension NetlinkBatch {
    /// Appends a message whose body libnftnl writes.
    mutating func append(
        _ operation: String,
        _ type: nf_tables_msg_types,
        _ family: IPFamily,
        flags: UInt16,
        _ body: (UnsafeMutablePointer<nlmsghdr>) -> Void
    ) {
        append({ operation }) { buffer, sequence in
            let message = LibraryMessage(type, family, flags: flags, sequence: sequence)
            body(message.header)
            buffer.appendMessage(message.bytes)
        }
    }
}

/// The owner of a `struct nftnl_table`.
struct LibraryTable: ~Copyable {
    private let handle = nftnl_table_alloc()

    init(name: String, userData: [UInt8] = [], flags: UInt32 = 0) {
        nftnl_table_set_str(handle, UInt16(NFTNL_TABLE_NAME.rawValue), name)
        if flags != 0 { nftnl_table_set_u32(handle, UInt16(NFTNL_TABLE_FLAGS.rawValue), flags) }
        if !userData.isEmpty {
            nftnl_table_set_data(
                handle,
                UInt16(NFTNL_TABLE_USERDATA.rawValue),
                userData,
                UInt32(userData.count)
            )
        }
    }

    deinit { nftnl_table_free(handle) }

    func write(_ header: UnsafeMutablePointer<nlmsghdr>) {
        nftnl_table_nlmsg_build_payload(header, handle)
    }
}

/// The owner of a `struct nftnl_chain`.
struct LibraryChain: ~Copyable {
    private let handle = nftnl_chain_alloc()

    init(table: String, name: String) {
        set(NFTNL_CHAIN_TABLE, table)
        set(NFTNL_CHAIN_NAME, name)
    }

    init?(parsing header: UnsafePointer<nlmsghdr>) {
        guard nftnl_chain_nlmsg_parse(header, handle) == 0 else { return nil }
    }

    deinit { nftnl_chain_free(handle) }

    func set(_ attribute: nftnl_chain_attr, _ value: String) {
        nftnl_chain_set_str(handle, UInt16(attribute.rawValue), value)
    }

    func set(_ attribute: nftnl_chain_attr, _ value: UInt32) {
        nftnl_chain_set_u32(handle, UInt16(attribute.rawValue), value)
    }

    /// Puts the chain at a hook, with the policy accept.
    func setBase(_ type: BaseChain.ChainType, _ hook: BaseChain.Hook, priority: Int32) {
        set(NFTNL_CHAIN_TYPE, type.rawValue)
        set(NFTNL_CHAIN_HOOKNUM, hook.rawValue)
        set(NFTNL_CHAIN_PRIO, UInt32(bitPattern: priority))
        set(NFTNL_CHAIN_POLICY, Constant.accept)
    }

    func text(_ attribute: nftnl_chain_attr) -> String {
        nftnl_chain_get_str(handle, UInt16(attribute.rawValue)).map { String(cString: $0) } ?? ""
    }

    func number(_ attribute: nftnl_chain_attr) -> UInt32? {
        nftnl_chain_is_set(handle, UInt16(attribute.rawValue))
            ? nftnl_chain_get_u32(handle, UInt16(attribute.rawValue)) : nil
    }

    func write(_ header: UnsafeMutablePointer<nlmsghdr>) {
        nftnl_chain_nlmsg_build_payload(header, handle)
    }
}

/// The owner of a `struct nftnl_set`; `ElementWriter` writes the elements.
struct LibrarySet: ~Copyable {
    private let handle = nftnl_set_alloc()

    init() {}

    init?(parsing header: UnsafePointer<nlmsghdr>) {
        guard nftnl_set_nlmsg_parse(header, handle) == 0 else { return nil }
    }

    deinit { nftnl_set_free(handle) }

    func set(_ attribute: nftnl_set_attr, _ value: String) {
        nftnl_set_set_str(handle, UInt16(attribute.rawValue), value)
    }

    func set(_ attribute: nftnl_set_attr, _ value: UInt32) {
        nftnl_set_set_u32(handle, UInt16(attribute.rawValue), value)
    }

    func set(_ attribute: nftnl_set_attr, _ value: [UInt8]) {
        nftnl_set_set_data(handle, UInt16(attribute.rawValue), value, UInt32(value.count))
    }

    func text(_ attribute: nftnl_set_attr) -> String {
        nftnl_set_get_str(handle, UInt16(attribute.rawValue)).map { String(cString: $0) } ?? ""
    }

    /// Returns the attribute; the kernel omits attributes that are zero.
    func number(_ attribute: nftnl_set_attr) -> UInt32 {
        nftnl_set_is_set(handle, UInt16(attribute.rawValue))
            ? nftnl_set_get_u32(handle, UInt16(attribute.rawValue)) : 0
    }

    /// The timeout of elements in milliseconds; zero if they do not expire.
    var timeout: UInt64 {
        get {
            nftnl_set_is_set(handle, UInt16(NFTNL_SET_TIMEOUT.rawValue))
                ? nftnl_set_get_u64(handle, UInt16(NFTNL_SET_TIMEOUT.rawValue)) : 0
        }
        nonmutating set { nftnl_set_set_u64(handle, UInt16(NFTNL_SET_TIMEOUT.rawValue), newValue) }
    }

    func data(_ attribute: nftnl_set_attr) -> [UInt8] {
        var length: UInt32 = 0
        guard let data = nftnl_set_get_data(handle, UInt16(attribute.rawValue), &length)
        else { return [] }
        return Array(UnsafeRawBufferPointer(start: data, count: Int(length)))
    }

    /// Adds a counter to each element; the set owns the expression.
    func addCounter() { nftnl_set_add_expr(handle, nftnl_expr_alloc("counter")) }

    var hasExpression: Bool { nftnl_set_is_set(handle, UInt16(NFTNL_SET_EXPR.rawValue)) }

    func write(_ header: UnsafeMutablePointer<nlmsghdr>) {
        nftnl_set_nlmsg_build_payload(header, handle)
    }
}
