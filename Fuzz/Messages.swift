import KubernetesWire

/// Turns any bytes into protobuf whose outer layers are valid, so that the fuzzer reaches inner
/// ones.
///
/// The bytes choose the fields, their kinds and their contents.
struct MessageMaker {
    private var input: ArraySlice<UInt8>
    private static let deepest = 6

    init(_ input: [UInt8]) { self.input = input[...] }

    private mutating func byte() -> UInt8 { input.popFirst() ?? 0 }

    private mutating func bytes(_ count: Int) -> [UInt8] {
        defer { input = input.dropFirst(count) }
        return Array(input.prefix(count))
    }

    /// Returns a message with the fields that the input describes, up to a zero byte.
    mutating func message(_ depth: Int = 0) -> [UInt8] {
        var message: [UInt8] = []
        while !input.isEmpty, case let choice = byte(), choice != 0 {
            let number = max(1, choice >> 3)
            switch choice & 7 {
            case 0, 1: message += [number << 3] + Self.varint(number: bytes(Int(byte() % 9)))
            case 2, 3,
                4 where depth < Self.deepest:
                message += Self.field(number, self.message(depth + 1))
            case 5, 6: message += Self.field(number, bytes(Int(byte() % 64)))
            // The field has a wrong kind, or is cut off.
            default: message += bytes(Int(byte() % 12))
            }
        }
        return message
    }

    /// Returns a list as an API server sends it, with objects until the input is used up.
    mutating func list() -> [UInt8] {
        var raw = Self.field(1, message())
        while !input.isEmpty { raw += Self.field(2, message()) }
        return Self.envelope(raw)
    }

    /// Returns the events of a watch, each in its frame.
    mutating func events() -> [UInt8] {
        let types = ["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", ""]
        var frames: [UInt8] = []
        while !input.isEmpty {
            let type = types[Int(byte()) % types.count]
            let object = Self.field(1, Self.envelope(message()))
            let event = Self.field(1, Array(type.utf8)) + Self.field(2, object)
            frames += withUnsafeBytes(of: UInt32(event.count).bigEndian, Array.init) + event
        }
        return frames
    }

    private static func envelope(_ raw: [UInt8]) -> [UInt8] {
        let type = field(1, Array("v1".utf8)) + field(2, Array("Service".utf8))
        return envelopeMagic + field(1, type) + field(2, raw)
    }

    /// Encodes a field whose value is bytes.
    private static func field(_ number: UInt8, _ value: [UInt8]) -> [UInt8] {
        [number << 3 | 2] + varint(UInt64(value.count)) + value
    }

    private static func varint(number bytes: [UInt8]) -> [UInt8] {
        varint(bytes.reduce(0) { $0 << 8 | UInt64($1) })
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var rest = value
        var bytes: [UInt8] = []
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}
