package import NetworkTypes

/// The user data of a set, from which nft prints `typeof`.
///
/// It consists of libnftnl's TLVs (one byte for the type, one byte for the length, then the value),
/// which contain nft's numbers for expressions and header fields. Sources: nft's
/// `src/expression.c`, `src/payload.c`, `src/meta.c`, `src/numgen.c` (`…_build_udata`) and
/// `include/proto.h`; libnftnl's `include/libnftnl/udata.h`. Tests compare it with what nft itself
/// writes.
package struct SetUserData {
    private let family: IPFamily

    package static func bytes(_ set: SetDefinition, _ family: IPFamily) -> [UInt8] {
        let data = SetUserData(family: family)
        // NFTNL_UDATA_SET_KEYBYTEORDER: 0 (none) for a concatenation, 2 (big-endian) for an
        // address.
        var bytes = word(0, set.isConcatenation ? 0 : 2)
        if set.data != nil { bytes += word(1, 0) }
        bytes += nest(3, data.typeOf(set.key))
        guard let type = set.data else { return bytes }
        switch type {
        case .fields(let fields): bytes += nest(4, data.typeOf(fields))
        case .affinityTimeout: bytes += nest(4, expression(1, []))
        }
        // NFTNL_UDATA_SET_DATA_INTERVAL
        return bytes + word(6, 0)
    }

    private init(family: IPFamily) { self.family = family }

    /// Returns the TLVs of fields: the type of an expression and then its data.
    private func typeOf(_ fields: [PacketField]) -> [UInt8] {
        guard fields.count > 1 else { return fields.flatMap(typeOf) }
        let parts = fields.enumerated().flatMap { Self.nest(UInt8($0), typeOf($1)) }
        return Self.expression(13, parts)
    }

    private func typeOf(_ field: PacketField) -> [UInt8] {
        switch field {
        case .sourceAddress: header(family == .ipv4 ? (12, 11) : (13, 8))
        case .destinationAddress: header(family == .ipv4 ? (12, 12) : (13, 9))
        case .sourcePort: header((11, 1))
        case .destinationPort: header((11, 2))
        case .transportProtocol: Self.expression(9, Self.word(0, 16))
        case .random(let modulus, let offset):
            Self.expression(23, Self.word(0, 1) + Self.word(1, modulus) + Self.word(2, offset))
        case .clientBucket, .originalClientBucket, .sourceBlock, .originalSourceAddress,
            .originalDestinationAddress, .originalSourcePort,
            .originalDestinationPort, .replySourceAddress:
            preconditionFailure("no set is keyed by \(field)")
        }
    }

    /// Returns the TLVs of a header field, given nft's numbers for the protocol and for the field
    /// in it.
    private func header(_ field: (proto: UInt32, index: UInt32)) -> [UInt8] {
        Self.expression(7, Self.word(0, field.proto) + Self.word(1, field.index))
    }

    private static func expression(_ type: UInt32, _ data: [UInt8]) -> [UInt8] {
        word(0, type) + nest(1, data)
    }

    private static func nest(_ type: UInt8, _ value: [UInt8]) -> [UInt8] {
        [type, UInt8(value.count)] + value
    }

    private static func word(_ type: UInt8, _ value: UInt32) -> [UInt8] {
        nest(type, withUnsafeBytes(of: value, Array.init))
    }
}

extension PacketField {
    /// Returns nft's number for the field's data type, which the kernel stores for nft.
    fileprivate func dataType(_ family: IPFamily) -> UInt32 {
        switch self {
        case .sourceAddress, .sourceBlock, .destinationAddress, .originalSourceAddress,
            .originalDestinationAddress, .replySourceAddress:
            family == .ipv4 ? 7 : 8
        case .transportProtocol: 12
        case .sourcePort, .destinationPort, .originalSourcePort, .originalDestinationPort: 13
        case .random, .clientBucket, .originalClientBucket: 4
        }
    }
}

extension SetDefinition.Data {
    /// The kernel's `NFT_DATA_VERDICT`.
    package static let verdictType: UInt32 = 0xFFFF_FF00

    /// The value of `NFTA_SET_DATA_TYPE`.
    package func dataType(_ family: IPFamily) -> UInt32 {
        switch self {
        case .fields(let fields): fields.dataType(family)
        case .affinityTimeout: Self.verdictType
        }
    }
}

extension [PacketField] {
    /// Returns the data type of a concatenation, in which each field takes six bits.
    package func dataType(_ family: IPFamily) -> UInt32 {
        reduce(0) { $0 << 6 | $1.dataType(family) }
    }
}
