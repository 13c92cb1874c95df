package import NetworkTypes

/// Something that a rule can read of a packet, its connection or chance.
package enum PacketField: Sendable, Hashable {
    case sourceAddress, destinationAddress
    /// The first bits of the source address, zeros behind them.
    case sourceBlock(length: UInt32)
    case transportProtocol
    case sourcePort, destinationPort
    /// Of the connection's first packet, before any translation.
    case originalSourceAddress, originalDestinationAddress
    case originalSourcePort, originalDestinationPort
    /// Who answers: the endpoint, if the connection is translated.
    case replySourceAddress
    /// The bucket (`ClientBucket`) of the source address, of the packet or of the connection.
    case clientBucket, originalClientBucket
    /// A number from `offset ..< offset + modulus`.
    case random(modulus: UInt32, offset: UInt32)

    package static let frontend: [PacketField] = [
        .destinationAddress, .transportProtocol, .destinationPort,
    ]
    package static let originalFrontend: [PacketField] = [
        .originalDestinationAddress, .transportProtocol, .originalDestinationPort,
    ]
    /// A client's connection to a frontend; nft knows no types of more than four fields.
    package static let connection: [PacketField] = [
        .sourceAddress, .sourcePort, .destinationAddress, .destinationPort,
    ]
    package static let originalConnection: [PacketField] = [
        .originalSourceAddress, .originalSourcePort, .originalDestinationAddress,
        .originalDestinationPort,
    ]
    package static let endpoint: [PacketField] = [.destinationAddress, .destinationPort]

    /// Bytes without padding.
    package func length(_ family: IPFamily) -> Int {
        switch self {
        case .sourceAddress, .sourceBlock, .destinationAddress, .originalSourceAddress,
            .originalDestinationAddress, .replySourceAddress:
            family.byteCount
        case .transportProtocol: 1
        case .sourcePort, .destinationPort, .originalSourcePort, .originalDestinationPort: 2
        case .random, .clientBucket, .originalClientBucket: 4
        }
    }

    private static let buckets =
        "mod \(ClientBucket.count) seed 0x\(String(ClientBucket.seed, radix: 16))"

    /// So many ones, and zeros behind them; nil if there are none.
    package static func mask(_ length: UInt32, _ family: IPFamily) -> IPAddress? {
        let ones =
            family == .ipv4
            ? IPAddress(ipv4: .max) : IPAddress(ipv6High: .max, low: .max)
        return length < family.bitWidth ? IPPrefix(ones, length: Int(length))?.base : nil
    }

    /// The field in nft's syntax.
    package func text(_ family: IPFamily) -> String {
        let header = family.nftName
        return switch self {
        case .sourceAddress: "\(header) saddr"
        case .sourceBlock(let length):
            "\(header) saddr\(Self.mask(length, family).map { " & \($0)" } ?? "")"
        case .destinationAddress: "\(header) daddr"
        case .transportProtocol: "meta l4proto"
        case .sourcePort: "th sport"
        case .destinationPort: "th dport"
        case .originalSourceAddress: "ct original \(header) saddr"
        case .originalDestinationAddress: "ct original \(header) daddr"
        case .originalSourcePort: "ct original proto-src"
        case .originalDestinationPort: "ct original proto-dst"
        case .replySourceAddress: "ct reply \(header) saddr"
        case .clientBucket: "jhash \(Self.sourceAddress.text(family)) \(Self.buckets)"
        case .originalClientBucket:
            "jhash \(Self.originalSourceAddress.text(family)) \(Self.buckets)"
        case .random(let modulus, 0): "numgen random mod \(modulus)"
        case .random(let modulus, let offset): "numgen random mod \(modulus) offset \(offset)"
        }
    }
}

extension [PacketField] {
    package func text(_ family: IPFamily) -> String {
        map { $0.text(family) }.joined(separator: " . ")
    }

    package func registerBytes(_ family: IPFamily) -> Int {
        reduce(0) { $0 + ($1.length(family) + 3) & ~3 }
    }
}

extension IPFamily {
    /// The name of the family's tables and headers in nft.
    package var nftName: String { self == .ipv4 ? "ip" : "ip6" }
}
