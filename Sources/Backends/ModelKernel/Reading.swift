internal import NFTables
internal import NetworkTypes

/// What an expression finds when it reads a packet or its connection.
enum Reading {
    case known([UInt8])
    case unknown(String)
    /// The rule does not match (`NFT_BREAK`).
    case absent

    static func word(_ value: UInt32?, _ what: String) -> Reading {
        value.map { .known(withUnsafeBytes(of: $0, Array.init)) }
            ?? .unknown("\(what) is not known")
    }

    fileprivate static func port(_ value: UInt16) -> Reading {
        .known([UInt8(value >> 8), UInt8(value & 0xFF)])
    }
}

extension Traveller {
    // MARK: Headers

    /// Bytes of a header (`net/netfilter/nft_payload.c: nft_payload_eval`).
    func read(
        _ base: KernelExpression.PayloadBase,
        _ offset: Int,
        _ length: Int
    ) -> Reading {
        let header: [UInt8?]
        switch base {
        case .network:
            if let reading = address(offset, length) { return reading }
            header = networkHeader
        case .transport:
            guard hasPorts else { return .unknown("its transport protocol has no ports") }
            header = transportHeader
        case .link, .inner: return .unknown("reads what is not the packet's IP header")
        }
        let bytes = header.dropFirst(offset).prefix(length).compactMap { $0 }
        return bytes.count == length
            ? .known(bytes)
            : .unknown("reads \(length) bytes of a header at \(offset)")
    }

    /// Most rules read a whole address.
    private func address(_ offset: Int, _ length: Int) -> Reading? {
        let isIPv4 = packet.family == .ipv4
        guard length == packet.family.byteCount else { return nil }
        switch offset {
        case isIPv4 ? 12 : 8:
            return packet.isSourceUnknown
                ? .unknown("the masqueraded address is not known")
                : .known(packet.source.networkOrderBytes)
        case isIPv4 ? 16 : 24: return .known(packet.destination.networkOrderBytes)
        default: return nil
        }
    }

    private var hasPorts: Bool { TransportProtocol(rawValue: packet.transport) != nil }

    /// Bytes that nobody knows are nil.
    private var networkHeader: [UInt8?] {
        var source: [UInt8?] = packet.source.networkOrderBytes
        if packet.isSourceUnknown { source = source.map { _ in nil } }
        let destination: [UInt8?] = packet.destination.networkOrderBytes
        let unknown = { (count: Int) in [UInt8?](repeating: nil, count: count) }
        let protocolNumber: [UInt8?] = [packet.transport]
        // Fragments are whole when conntrack has seen them, so they have no offset.
        guard packet.family == .ipv4 else {
            return unknown(6) + protocolNumber + unknown(1) + source + destination
        }
        return [0x45] + unknown(8) + protocolNumber + unknown(2) + source + destination
    }

    private var transportHeader: [UInt8?] {
        let source: [UInt8?] =
            packet.isSourcePortUnknown ? [nil, nil] : Self.bytes(packet.sourcePort)
        let ports = source + Self.bytes(packet.destinationPort)
        guard packet.transport == TransportProtocol.tcp.rawValue, connection?.state == .new else {
            return ports
        }
        // Conntrack takes no connection for new whose first packet has not SYN alone.
        return ports + [UInt8?](repeating: nil, count: 9) + [2]
    }

    private static func bytes(_ port: UInt16) -> [UInt8?] {
        [UInt8(port >> 8), UInt8(port & 0xFF)]
    }

    // MARK: Meta

    /// What the kernel knows of a packet beside its bytes (`net/netfilter/nft_meta.c:
    /// nft_meta_get_eval`).
    func read(_ key: KernelExpression.MetaKey) -> Reading {
        let isIPv4 = packet.family == .ipv4
        switch key {
        case .etherType: return .known(isIPv4 ? [0x08, 0x00] : [0x86, 0xDD])
        case .mark: return .word(packet.mark, "the mark")
        case .inputName: return .known(Self.name(packet.inputInterface))
        case .outputName: return .known(Self.name(packet.outputInterface))
        case .family: return .known([packet.family.netfilterFamily])
        case .transport: return .known([packet.transport])
        default: return .unknown("reads meta key \(key.rawValue)")
        }
    }

    /// A name with its padding; empty if there is no interface.
    private static func name(_ interface: String?) -> [UInt8] {
        let bytes = Array((interface ?? "").utf8.prefix(15))
        return bytes + [UInt8](repeating: 0, count: 16 - bytes.count)
    }

    // MARK: Conntrack

    /// What conntrack knows (`net/netfilter/nft_ct.c: nft_ct_get_eval`).
    func read(
        _ key: KernelExpression.ConnectionKey,
        _ direction: KernelExpression.Direction?
    ) -> Reading {
        guard let connection else {
            // NF_CT_STATE_UNTRACKED_BIT and NF_CT_STATE_INVALID_BIT
            return key == .state ? .word(isUntracked ? 1 << 6 : 1, "") : .absent
        }
        switch key {
        case .state: return .word(connection.state.rawValue, "")
        case .direction: return .known([connection.direction.rawValue])
        case .status: return .word(connection.status, "")
        case .mark: return .word(connection.mark, "the connection's mark")
        case .family: return .known([packet.family.netfilterFamily])
        case .transport: return .known([packet.transport])
        default: return read(key, connection.tuple(direction), isReply(direction, connection))
        }
    }

    private func isReply(
        _ direction: KernelExpression.Direction?,
        _ connection: Connection
    ) -> Bool {
        (direction ?? connection.direction) == .reply
    }

    private func read(
        _ key: KernelExpression.ConnectionKey,
        _ tuple: ConnectionTuple,
        _ isReply: Bool
    ) -> Reading {
        let isIPv4 = packet.family == .ipv4
        switch key {
        case .sourceIPv4 where !isIPv4, .destinationIPv4 where !isIPv4,
            .sourceIPv6 where isIPv4, .destinationIPv6 where isIPv4:
            return .absent
        case .source, .sourceIPv4, .sourceIPv6: return .known(tuple.source.networkOrderBytes)
        case .destination, .destinationIPv4, .destinationIPv6:
            guard !isReply || !packet.isSourceUnknown else {
                return .unknown("the masqueraded address is not known")
            }
            return .known(tuple.destination.networkOrderBytes)
        case .sourcePort: return .port(tuple.sourcePort)
        case .destinationPort:
            guard !isReply || !packet.isSourcePortUnknown else {
                return .unknown("the masqueraded port is not known")
            }
            return .port(tuple.destinationPort)
        default: return .unknown("reads ct key \(key.rawValue)")
        }
    }
}
