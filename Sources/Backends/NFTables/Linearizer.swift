package import NetworkTypes

extension Rule {
    /// The expressions of the rule, with the registers that nft itself would choose.
    package func expressions(_ family: IPFamily) -> [KernelExpression] {
        let linearizer = Linearizer(family: family)
        return statements.flatMap(linearizer.expressions)
    }
}

extension [PacketField] {
    /// Loads the fields into registers, one behind the other from a four-byte slot on.
    package func loaded(_ family: IPFamily, from slot: Int = 0) -> [KernelExpression] {
        Linearizer(family: family).load(self, from: slot)
    }
}

extension KernelExpression {
    /// The register at a four-byte slot: the 16-byte `NFT_REG_1...4` where one begins there, the
    /// 4-byte `NFT_REG32_00...15` else.
    package static func register(_ slot: Int) -> UInt32 {
        UInt32(slot % 4 == 0 ? 1 + slot / 4 : 8 + slot)
    }
}

/// Turns statements into expressions, as nft's `netlink_linearize.c` does.
private struct Linearizer {
    let family: IPFamily

    func expressions(_ statement: Statement) -> [KernelExpression] {
        switch statement {
        case .lookup(let fields, let set, let negated):
            load(fields) + [.lookup(set.name, register: register(0), into: nil, negated: negated)]
        case .state(let state):
            flag(.state, state.rawValue)
        case .isDNATed:
            flag(.status, Self.destinationNATDone)
        case .sourceIsLocal(let isLocal):
            [
                .route(.addressType, flags: Self.sourceAddress, register: register(0)),
                compare(hostOrder(Self.localRoute), isEqual: isLocal),
            ]
        case .inputInterfaceIsNot(let name, let isPrefix):
            compare(.inputName, interfaceName(name, isPrefix), isEqual: false)
        case .outputInterfaceIsNot(let name, let isPrefix):
            compare(.outputName, interfaceName(name, isPrefix), isEqual: false)
        case .inputInterfaceIsKnown(let isKnown):
            compare(.inputIndex, hostOrder(0), isEqual: !isKnown)
        case .transport(let transport, let isEqual):
            compare(.transport, [transport.rawValue], isEqual: isEqual)
        case .dnat(let fields, let map):
            // nft leaves room for what it finds.
            load(fields, scratch: fields.registerBytes(family) / 4 + 4) + [
                .lookup(map.name, register: register(0), into: register(0), negated: false),
                dnat(port: register(family.byteCount / 4)),
            ]
        case .keepDestination:
            load([.destinationAddress]) + [dnat(port: nil)]
        case .masquerade:
            [.masquerade(.init(flags: KernelExpression.PortChoice.random))]
        case .remember(let timeout): remember(timeout)
        case .verdict(let fields, let map):
            // Into the verdict's register, `NFT_REG_VERDICT`.
            load(fields) + [.lookup(map.name, register: register(0), into: 0, negated: false)]
        case .steer(let isOn):
            [
                .meta(.mark, register: register(0)),
                .mask(
                    from: register(0),
                    into: register(0),
                    hostOrder(~SteeringMark.bit),
                    xor: hostOrder(isOn ? SteeringMark.bit : 0)
                ),
                .setMeta(.mark, register: register(0)),
            ]
        case .counter: [.counter]
        case .reject(let withReset):
            [withReset ? .reject(.tcpReset, code: 0) : .reject(.icmpUnreachable, code: portCode)]
        case .drop: [.verdict(.drop, nil)]
        case .returning: [.verdict(.return, nil)]
        case .jump(let chain): [.verdict(.jump, chain.text)]
        case .goto(let chain): [.verdict(.goto, chain.text)]
        }
    }

    /// The code for an unreachable port, of ICMP or ICMPv6.
    private var portCode: UInt8 { family == .ipv4 ? 3 : 4 }

    private func compare(_ bytes: [UInt8], isEqual: Bool) -> KernelExpression {
        .compare(isEqual ? .equal : .notEqual, register: register(0), bytes)
    }

    private func compare(
        _ key: KernelExpression.MetaKey,
        _ bytes: [UInt8],
        isEqual: Bool
    ) -> [KernelExpression] {
        [.meta(key, register: register(0)), compare(bytes, isEqual: isEqual)]
    }

    /// `IPS_DST_NAT` and `RTN_LOCAL`.
    private static let destinationNATDone: UInt32 = 1 << 5
    private static let localRoute: UInt32 = 2
    /// The flag `NFTA_FIB_F_SADDR`.
    private static let sourceAddress: UInt32 = 1

    /// Sends the connection to the address in the first register.
    private func dnat(port: UInt32?) -> KernelExpression {
        typealias Ports = KernelExpression.PortChoice
        let flags = Ports.addressGiven | (port == nil ? 0 : Ports.portGiven)
        return .translate(
            .init(
                .destination,
                family: UInt32(family.netfilterFamily),
                address: register(0),
                ports: .init(port, flags: flags)
            )
        )
    }

    private func remember(_ timeout: UInt32) -> [KernelExpression] {
        let key: [PacketField] = [.originalClientBucket] + PacketField.originalFrontend
        let dataSlot = key.registerBytes(family) / 4
        var update = KernelExpression.SetUpdate(
            .update,
            SetID.affinity.name,
            key: register(0),
            data: register(dataSlot)
        )
        update.timeout = UInt64(timeout) * 1000
        return load(key, scratch: dataSlot) + load(PacketField.endpoint, from: dataSlot) + [
            .update(update)
        ]
    }

    private func flag(
        _ key: KernelExpression.ConnectionKey,
        _ bits: UInt32
    ) -> [KernelExpression] {
        [
            .connection(key, of: nil, register: register(0)),
            .mask(from: register(0), into: register(0), hostOrder(bits), xor: hostOrder(0)),
            .compare(.notEqual, register: register(0), [0, 0, 0, 0]),
        ]
    }

    /// - Parameter scratch: the slot where what is hashed may be
    func load(
        _ fields: [PacketField],
        from slot: Int = 0,
        scratch: Int = 0
    ) -> [KernelExpression] {
        var slot = slot
        return fields.flatMap { field in
            defer { slot += (field.length(family) + 3) / 4 }
            return load(field, register(slot), register(scratch))
        }
    }

    private func load(
        _ field: PacketField,
        _ register: UInt32,
        _ scratch: UInt32
    ) -> [KernelExpression] {
        switch field {
        case .sourceBlock(let length):
            guard let mask = PacketField.mask(length, family)?.networkOrderBytes else { break }
            let zero = [UInt8](repeating: 0, count: mask.count)
            return [
                load(field, register), .mask(from: register, into: register, mask, xor: zero),
            ]
        case .clientBucket: return [load(.sourceAddress, scratch), bucket(scratch, register)]
        case .originalClientBucket:
            return [load(.originalSourceAddress, scratch), bucket(scratch, register)]
        default: break
        }
        return [load(field, register)]
    }

    private func bucket(_ address: UInt32, _ register: UInt32) -> KernelExpression {
        .hash(
            .init(
                of: address,
                length: UInt32(family.byteCount),
                modulus: ClientBucket.count,
                seed: ClientBucket.seed,
                register: register
            )
        )
    }

    private func load(_ field: PacketField, _ register: UInt32) -> KernelExpression {
        let isIPv4 = family == .ipv4
        let length = UInt32(field.length(family))
        let payload = { (base: KernelExpression.PayloadBase, offset: UInt32) in
            KernelExpression.payload(base, offset: offset, length: length, register: register)
        }
        switch field {
        case .sourceAddress, .sourceBlock: return payload(.network, isIPv4 ? 12 : 8)
        case .destinationAddress: return payload(.network, isIPv4 ? 16 : 24)
        case .sourcePort: return payload(.transport, 0)
        case .destinationPort: return payload(.transport, 2)
        case .transportProtocol: return .meta(.transport, register: register)
        case .originalSourceAddress:
            return .connection(
                isIPv4 ? .sourceIPv4 : .sourceIPv6,
                of: .original,
                register: register
            )
        case .originalDestinationAddress:
            return .connection(
                isIPv4 ? .destinationIPv4 : .destinationIPv6,
                of: .original,
                register: register
            )
        case .originalSourcePort:
            return .connection(.sourcePort, of: .original, register: register)
        case .originalDestinationPort:
            return .connection(.destinationPort, of: .original, register: register)
        case .replySourceAddress:
            return .connection(
                isIPv4 ? .sourceIPv4 : .sourceIPv6,
                of: .reply,
                register: register
            )
        case .random(let modulus, let offset):
            return .random(modulus: modulus, offset: offset, register: register)
        case .clientBucket, .originalClientBucket:
            preconditionFailure("\(field) takes two expressions")
        }
    }

    private func register(_ slot: Int) -> UInt32 { KernelExpression.register(slot) }

    private func hostOrder(_ value: UInt32) -> [UInt8] {
        withUnsafeBytes(of: value, Array.init)
    }

    /// A name is compared with its padding, a prefix without.
    private func interfaceName(_ name: String, _ isPrefix: Bool) -> [UInt8] {
        let bytes = Array(name.utf8)
        return isPrefix ? bytes : bytes + Array(repeating: 0, count: 16 - bytes.count)
    }
}
