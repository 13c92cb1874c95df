package import NetworkTypes

/// Iterates over the attributes of a message or of a nested attribute.
///
/// Lengths come from the kernel but are checked all the same: a short or overlong attribute ends
/// the iteration.
package struct AttributeReader: Sequence, IteratorProtocol {
    private var rest: UnsafeRawBufferPointer

    package init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    /// Without attributes.
    package static var none: AttributeReader { AttributeReader(.init(start: nil, count: 0)) }

    package struct Attribute {
        /// The type without the nesting and byte-order flags.
        package let type: Int
        package let payload: UnsafeRawBufferPointer

        package var nested: AttributeReader { AttributeReader(payload) }

        package var bigEndianWord: UInt32? { word.map(UInt32.init(bigEndian:)) }
        package var word: UInt32? {
            payload.count >= 4 ? payload.loadUnaligned(as: UInt32.self) : nil
        }
        package var bigEndianShort: UInt16? { short.map(UInt16.init(bigEndian:)) }
        package var short: UInt16? {
            payload.count >= 2 ? payload.loadUnaligned(as: UInt16.self) : nil
        }
        package var bigEndianLong: UInt64? { long.map(UInt64.init(bigEndian:)) }
        package var long: UInt64? {
            payload.count >= 8 ? payload.loadUnaligned(as: UInt64.self) : nil
        }
        package var byte: UInt8? { payload.first }
        package var text: String { String(decoding: payload.prefix { $0 != 0 }, as: UTF8.self) }
        package var address: IPAddress? { IPAddress(networkOrder: payload) }
    }

    package mutating func next() -> Attribute? {
        guard rest.count >= 4 else { return nil }
        let length = Int(rest.loadUnaligned(as: UInt16.self))
        let type = Int(rest.loadUnaligned(fromByteOffset: 2, as: UInt16.self) & 0x3FFF)
        guard length >= 4, length <= rest.count else { return nil }
        let payload = UnsafeRawBufferPointer(rebasing: rest[4..<length])
        let step = Swift.min((length + 3) & ~3, rest.count)
        rest = UnsafeRawBufferPointer(rebasing: rest[step...])
        return Attribute(type: type, payload: payload)
    }

    /// Returns the first attribute of the type; nil if there is none.
    package subscript(type: Int) -> Attribute? {
        first { $0.type == type }
    }
}
