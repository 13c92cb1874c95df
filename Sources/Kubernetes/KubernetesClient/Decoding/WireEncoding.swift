internal import FoundationEssentials
internal import KubernetesModel
internal import KubernetesWire
internal import SwiftProtobuf

/// The encoding of objects sent by the API server.
package enum WireEncoding: String, Sendable, CaseIterable {
    case protobuf = "application/vnd.kubernetes.protobuf"
    case json = "application/json"

    /// The encoding of an answer; nil for an unknown type, as when a load balancer answers in HTML.
    init?(contentType: String) {
        self.init(rawValue: contentType.prefix { $0 != ";" }.lowercased())
    }

    /// Decodes a bare message: an item of a list, or the content of an envelope.
    func message<Message: WireMessage>(
        _: Message.Type = Message.self,
        from bytes: [UInt8]
    ) throws(WireError) -> Message {
        switch self {
        case .json: try Self.fromJSON(FromJSON<Message>.self, bytes).message
        case .protobuf: try Self.fromProtobuf(bytes)
        }
    }

    /// Returns the content of a protobuf envelope (magic bytes, `Unknown`); throws for another
    /// kind.
    static func content(ofEnvelope bytes: [UInt8], kind: String) throws(WireError) -> [UInt8] {
        guard bytes.starts(with: envelopeMagic) else {
            throw WireError("an object does not begin with k8s\\0")
        }
        let envelope: WireUnknown = try fromProtobuf(Array(bytes[envelopeMagic.count...]))
        let actual = envelope.typeMeta.kind.text
        guard actual == kind else {
            throw WireError("a \(kind) was expected, not a \"\(actual)\"")
        }
        return Array(envelope.raw)
    }

    static func fromProtobuf<Message: SwiftProtobuf.Message>(
        _ bytes: [UInt8]
    ) throws(WireError) -> Message {
        do {
            var options = BinaryDecodingOptions()
            options.discardUnknownFields = true
            return try Message(serializedBytes: bytes, options: options)
        } catch {
            throw WireError("it is no valid protobuf: \(error)")
        }
    }

    static func fromJSON<Value: Decodable>(
        _: Value.Type,
        _ bytes: [UInt8]
    ) throws(WireError) -> Value {
        // Bytes that are not UTF-8 become U+FFFD, as the API server itself writes them.
        let isValid = String(validating: bytes, as: UTF8.self) != nil
        let data = isValid ? Data(bytes) : Data(String(decoding: bytes, as: UTF8.self).utf8)
        do {
            return try JSONDecoder().decode(Value.self, from: data)
        } catch {
            throw WireError((error as? DecodingError).map { "\($0.fieldProblem)" } ?? "\(error)")
        }
    }
}
