internal import FoundationEssentials

/// A field of protobuf whose value has a length: a message, text or bytes.
struct ProtobufField {
    let bytes: [UInt8]

    init(_ number: Int, _ value: [UInt8]) {
        bytes = Self.varint(number << 3 | 2) + Self.varint(value.count) + value
    }

    private static func varint(_ number: Int) -> [UInt8] {
        var (rest, bytes) = (number, [UInt8]())
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}

/// `metadata.managedFields`, which says who has set which field of an object.
enum ManagedFields {
    /// Returns the entries in protobuf, to be appended to an object: two parts of its metadata are
    /// read as one.
    ///
    /// k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto: ObjectMeta, ManagedFieldsEntry
    static func protobuf(_ entries: [JSONValue]) throws -> [UInt8] {
        let fields = try entries.flatMap { entry in
            let texts = [(1, "manager"), (2, "operation"), (3, "apiVersion"), (6, "fieldsType")]
            let words = texts.flatMap { number, name in
                entry[name].string.map { ProtobufField(number, Array($0.utf8)).bytes } ?? []
            }
            let raw = Array(try JSONEncoder.api.encode(entry["fieldsV1"]))
            let tree = ProtobufField(7, ProtobufField(1, raw).bytes).bytes
            return ProtobufField(17, words + tree).bytes
        }
        return ProtobufField(1, fields).bytes
    }
}
