import FoundationEssentials
import KubernetesModel
import KubernetesWire
import SwiftProtobuf

/// Protobuf built byte by byte, with the numbers of the API's generated.proto files
/// (k8s.io/api, k8s.io/apimachinery) and not with those of this project.
enum ProtobufBytes {
    static func varint(_ value: UInt64) -> [UInt8] {
        var (bytes, rest): ([UInt8], UInt64) = ([], value)
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    /// A text or a message.
    static func field(_ number: UInt64, _ bytes: [UInt8]) -> [UInt8] {
        varint(number << 3 | 2) + varint(UInt64(bytes.count)) + bytes
    }

    static func field(_ number: UInt64, _ text: String) -> [UInt8] {
        field(number, Array(text.utf8))
    }

    /// A number; negative ones of 32 bits are ten bytes, as protobuf writes them.
    static func field(_ number: UInt64, _ value: Int64) -> [UInt8] {
        varint(number << 3) + varint(UInt64(bitPattern: value))
    }

    /// An entry of a map of texts.
    static func entry(_ number: UInt64, _ key: String, _ value: String) -> [UInt8] {
        field(number, field(1, key) + field(2, value))
    }

    /// Reads an object as it comes from an API server that sends protobuf.
    static func read<Object: KubernetesResource>(
        _: Object.Type,
        _ bytes: [UInt8]
    ) throws -> Object {
        try Object(Object.Wire(serializedBytes: bytes))
    }
}

func readJSON<Value: Decodable>(_: Value.Type, _ text: String) throws -> Value {
    try JSONDecoder().decode(Value.self, from: Data(text.utf8))
}
