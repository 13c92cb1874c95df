/// One expression of nf_tables' virtual machine, with the kernel's attributes as fields.
///
/// Registers are numbered as in `enum nft_registers`. Sets and chains have their names: the rules of
/// other programs are made of the same expressions.
package enum KernelExpression: Sendable, Hashable {
    /// The values of `enum nft_payload_bases`.
    package enum PayloadBase: UInt32, Sendable { case link = 0, network, transport, inner }
    /// The values of `enum nft_cmp_ops`.
    package enum Comparison: UInt32, Sendable {
        case equal = 0, notEqual, less, lessOrEqual, greater, greaterOrEqual
    }
    /// The values of `enum nft_fib_result`.
    package enum RouteResult: UInt32, Sendable { case interface = 1, interfaceName, addressType }
    /// The values of `enum ip_conntrack_dir`.
    package enum Direction: UInt8, Sendable { case original = 0, reply = 1 }
    /// The values of `enum nft_verdicts`, and those of netfilter itself.
    package enum Verdict: Int32, Sendable {
        case drop = 0, accept = 1, queue = 3
        case `continue` = -1, `break` = -2, jump = -3, goto = -4, `return` = -5
    }
    /// The values of `enum nft_reject_types`.
    package enum RejectType: UInt32, Sendable {
        case icmpUnreachable = 0, tcpReset = 1, icmpxUnreachable = 2
    }

    case payload(PayloadBase, offset: UInt32, length: UInt32, register: UInt32)
    case meta(MetaKey, register: UInt32)
    case connection(ConnectionKey, of: Direction?, register: UInt32)
    case random(modulus: UInt32, offset: UInt32, register: UInt32)
    /// One number after the other, whoever asks.
    case counting(modulus: UInt32, offset: UInt32, register: UInt32)
    case hash(Hash)
    /// What `fib` finds of the packet; the flags are `NFTA_FIB_F_SADDR` and its like.
    case route(RouteResult, flags: UInt32, register: UInt32)
    /// Ands a register with as many bytes as the mask has, and then xors it with others.
    case mask(from: UInt32, into: UInt32, [UInt8], xor: [UInt8])
    /// Moves the bits of a register, whose words are in the machine's order.
    case shift(from: UInt32, into: UInt32, length: UInt32, isLeft: Bool, by: UInt32)
    /// Turns the bytes of numbers of so many bytes round.
    case byteOrder(from: UInt32, into: UInt32, length: UInt32, size: UInt32, toHost: Bool)
    case immediate([UInt8], register: UInt32)
    case setMeta(MetaKey, register: UInt32)
    case setConnection(ConnectionKey, of: Direction?, register: UInt32)
    case compare(Comparison, register: UInt32, [UInt8])
    /// Both bounds are inside.
    case range(negated: Bool, register: UInt32, from: [UInt8], to: [UInt8])
    case lookup(String, register: UInt32, into: UInt32?, negated: Bool)
    case update(SetUpdate)
    case translate(Translation)
    case masquerade(PortChoice)
    case redirect(PortChoice)
    case noTrack
    case counter
    case log(String)
    case reject(RejectType, code: UInt8)
    case verdict(Verdict, String?)
    /// What may hold or not, and does nothing else: nobody here can tell.
    case unknownMatch(String)
    /// What may do anything.
    case unknownAction(String)
}

extension KernelExpression {
    /// The values of `enum nft_meta_keys`, as far as names are needed.
    package struct MetaKey: RawRepresentable, Sendable, Hashable {
        package let rawValue: UInt32

        package init(rawValue: UInt32) { self.rawValue = rawValue }

        package static let etherType = MetaKey(rawValue: 1)
        package static let priority = MetaKey(rawValue: 2)
        package static let mark = MetaKey(rawValue: 3)
        package static let inputIndex = MetaKey(rawValue: 4)
        package static let outputIndex = MetaKey(rawValue: 5)
        package static let inputName = MetaKey(rawValue: 6)
        package static let outputName = MetaKey(rawValue: 7)
        /// Whether the rules are traced.
        package static let trace = MetaKey(rawValue: 12)
        package static let family = MetaKey(rawValue: 15)
        package static let transport = MetaKey(rawValue: 16)
    }

    /// The values of `enum nft_ct_keys`, as far as names are needed.
    package struct ConnectionKey: RawRepresentable, Sendable, Hashable {
        package let rawValue: UInt32

        package init(rawValue: UInt32) { self.rawValue = rawValue }

        package static let state = ConnectionKey(rawValue: 0)
        package static let direction = ConnectionKey(rawValue: 1)
        package static let status = ConnectionKey(rawValue: 2)
        package static let mark = ConnectionKey(rawValue: 3)
        package static let family = ConnectionKey(rawValue: 7)
        package static let source = ConnectionKey(rawValue: 8)
        package static let destination = ConnectionKey(rawValue: 9)
        package static let transport = ConnectionKey(rawValue: 10)
        package static let sourcePort = ConnectionKey(rawValue: 11)
        package static let destinationPort = ConnectionKey(rawValue: 12)
        package static let labels = ConnectionKey(rawValue: 13)
        package static let eventMask = ConnectionKey(rawValue: 18)
        package static let sourceIPv4 = ConnectionKey(rawValue: 19)
        package static let destinationIPv4 = ConnectionKey(rawValue: 20)
        package static let sourceIPv6 = ConnectionKey(rawValue: 21)
        package static let destinationIPv6 = ConnectionKey(rawValue: 22)
    }

    /// `jhash` of so many bytes, scaled to a number below the modulus.
    package struct Hash: Sendable, Hashable {
        package var source: UInt32
        package var length: UInt32
        package var modulus: UInt32
        package var seed: UInt32
        package var offset: UInt32 = 0
        package var register: UInt32

        package init(
            of source: UInt32,
            length: UInt32,
            modulus: UInt32,
            seed: UInt32,
            register: UInt32
        ) {
            (self.source, self.length) = (source, length)
            (self.modulus, self.seed, self.register) = (modulus, seed, register)
        }
    }

    /// What a rule does to an element of a set (`enum nft_dynset_ops`).
    package struct SetUpdate: Sendable, Hashable {
        package enum Operation: UInt32, Sendable { case add = 0, update, delete }

        package var operation: Operation
        package var set: String
        package var key: UInt32
        package var data: UInt32?
        /// Milliseconds; 0: the set's own.
        package var timeout: UInt64 = 0
        package var isNegated = false

        package init(_ operation: Operation, _ set: String, key: UInt32, data: UInt32? = nil) {
            (self.operation, self.set, self.key, self.data) = (operation, set, key, data)
        }
    }

    /// `snat` and `dnat`.
    package struct Translation: Sendable, Hashable {
        package enum Kind: UInt32, Sendable { case source = 0, destination = 1 }

        package var kind: Kind
        /// The value is `NFPROTO_IPV4` or `NFPROTO_IPV6`.
        package var family: UInt32
        /// Registers; nil: as it is.
        package var addressMin, addressMax: UInt32?
        package var ports: PortChoice

        package init(_ kind: Kind, family: UInt32, address: UInt32?, ports: PortChoice) {
            (self.kind, self.family, self.ports) = (kind, family, ports)
            (addressMin, addressMax) = (address, address)
        }
    }

    /// The registers that bound the port of a translation, and `NF_NAT_RANGE_…` flags.
    package struct PortChoice: Sendable, Hashable {
        package var min, max: UInt32?
        package var flags: UInt32

        package init(_ port: UInt32? = nil, flags: UInt32 = 0) {
            (min, max) = (port, port)
            self.flags = flags
        }
    }
}

extension KernelExpression.PortChoice {
    /// The flags `NF_NAT_RANGE_MAP_IPS`, `…_PROTO_SPECIFIED` and `…_PROTO_RANDOM_FULLY`.
    package static let (addressGiven, portGiven, random): (UInt32, UInt32, UInt32) = (1, 2, 1 << 4)
}
