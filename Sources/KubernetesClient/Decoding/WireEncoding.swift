internal import FoundationEssentials
internal import KubernetesModel
internal import KubernetesWire
internal import SwiftProtobuf

/// How the API server writes its objects.
package enum WireEncoding: String, Sendable, CaseIterable {
    case protobuf = "application/vnd.kubernetes.protobuf"
    case json = "application/json"

    /// That of an answer; nil if its type is none of ours, as when a load balancer answers in HTML.
    init?(contentType: String) {
        self.init(rawValue: contentType.prefix { $0 != ";" }.lowercased())
    }

    /// What to accept for it; JSON is what every server can do.
    var accept: String {
        self == .protobuf ? "\(Self.protobuf.rawValue),\(Self.json.rawValue)" : rawValue
    }

    /// A message by itself: an item of a list, the content of an envelope.
    func message<Message: WireMessage>(
        _: Message.Type = Message.self,
        from bytes: [UInt8]
    ) throws(WireError) -> Message {
        switch self {
        case .json: try Self.fromJSON(FromJSON<Message>.self, bytes).message
        case .protobuf: try Self.fromProtobuf(bytes)
        }
    }

    /// What is in a protobuf envelope (magic bytes, `Unknown`), if it says to be of the kind.
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
        // What is no UTF-8 becomes U+FFFD, as the API server itself writes it.
        let isValid = String(validating: bytes, as: UTF8.self) != nil
        let data = isValid ? Data(bytes) : Data(String(decoding: bytes, as: UTF8.self).utf8)
        do {
            return try JSONDecoder().decode(Value.self, from: data)
        } catch {
            throw WireError((error as? DecodingError).map { "\($0.fieldProblem)" } ?? "\(error)")
        }
    }
}
