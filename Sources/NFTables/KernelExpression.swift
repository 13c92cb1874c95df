/// One expression of nf_tables' virtual machine, with the kernel's attributes as fields.
///
/// Registers are numbered as in `enum nft_registers`.
package enum KernelExpression: Sendable, Hashable {
    package enum PayloadBase: UInt32, Sendable { case network = 1, transport = 2 }
    package enum Comparison: UInt32, Sendable { case equal = 0, notEqual = 1 }
    package enum MetaKey: UInt32, Sendable { case mark = 3, iifname = 6, l4proto = 16 }
    /// Some of `enum nft_ct_keys`.
    package enum ConnectionKey: UInt32, Sendable {
        case state = 0, status = 2, protocolDestination = 12
        case sourceIPv4 = 19, destinationIPv4 = 20, sourceIPv6 = 21, destinationIPv6 = 22
    }
    /// The values of `enum ip_conntrack_dir`.
    package enum Direction: UInt8, Sendable { case original = 0, reply = 1 }
    package enum Verdict: Int32, Sendable { case drop = 0, jump = -3, goto = -4, `return` = -5 }
    /// Some of `enum nft_reject_types`.
    package enum RejectType: UInt32, Sendable { case icmpUnreachable = 0, tcpReset = 1 }

    case payload(PayloadBase, offset: UInt32, length: UInt32, register: UInt32)
    case meta(MetaKey, register: UInt32)
    case connection(ConnectionKey, of: Direction?, register: UInt32)
    case random(modulus: UInt32, offset: UInt32, register: UInt32)
    /// `jhash` of so many bytes, scaled to a `ClientBucket`.
    case clientBucket(of: UInt32, length: UInt32, register: UInt32)
    /// `fib saddr type`
    case sourceAddressType(register: UInt32)
    /// Ands a register with as many bytes as the mask has, and then xors it with others.
    case mask(register: UInt32, [UInt8], xor: [UInt8])
    case setMeta(MetaKey, register: UInt32)
    case compare(Comparison, register: UInt32, [UInt8])
    case lookup(SetID, register: UInt32, into: UInt32?, negated: Bool)
    /// - Parameter port: nil: the packet's own
    case dnat(address: UInt32, port: UInt32?)
    case masquerade
    /// Milliseconds.
    case updateMap(SetID, key: UInt32, data: UInt32, timeout: UInt64)
    case counter
    case reject(RejectType, code: UInt8)
    case verdict(Verdict, Chain.Name?)
}
