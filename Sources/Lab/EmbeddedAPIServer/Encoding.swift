internal import FoundationEssentials
internal import KubernetesWire
internal import SwiftProtobuf

/// The form of an answer, chosen by the request's Accept header.
struct AnswerEncoding: Sendable {
    enum Format: Sendable {
        case json
        /// A table for people: `kubectl get` leaves the layout to the server.
        case table
        case protobuf
    }

    let format: Format
    /// Whether objects are sent without `metadata.managedFields`.
    let dropsManagedFields: Bool

    static let json = AnswerEncoding(format: .json, dropsManagedFields: false)

    static let protobufType = "application/vnd.kubernetes.protobuf"

    private init(format: Format, dropsManagedFields: Bool) {
        (self.format, self.dropsManagedFields) = (format, dropsManagedFields)
    }

    /// Chooses the first form that the server supports; nil if there is none.
    init?(accept: String, hasProtobuf: Bool, drop: APIServer.Configuration.DropParameter) {
        guard drop != .refused || !accept.contains("drop=") else { return nil }
        for type in accept.split(separator: ",") {
            let words = type.split(separator: ";").map { $0.filter { $0 != " " } }
            let isTable = words.contains("as=Table") && words.contains("v=v1")
            guard isTable || !words.contains(where: { $0.hasPrefix("as=") }) else { continue }
            let drops = drop == .known && words.contains("drop=metadata.managedFields")
            switch words[0] {
            case Self.protobufType where hasProtobuf && !isTable:
                self.init(format: .protobuf, dropsManagedFields: drops)
                return
            case "application/json", "*/*", "application/*":
                self.init(format: isTable ? .table : .json, dropsManagedFields: drops)
                return
            default: continue
            }
        }
        guard accept.isEmpty else { return nil }
        self = .json
    }

    var isProtobuf: Bool { format == .protobuf }

    var contentType: String { isProtobuf ? Self.protobufType : "application/json" }

    /// Encodes a single object.
    func object(_ stored: ObjectStore.Stored) -> [UInt8] {
        switch format {
        case .json: content(stored).json
        case .table: Table.json([stored])
        case .protobuf:
            Self.envelope(
                stored.kind.kind,
                stored.kind.apiVersion,
                content(stored).protobuf ?? []
            )
        }
    }

    private func content(_ stored: ObjectStore.Stored) -> ObjectStore.Content {
        dropsManagedFields ? stored.unmanaged ?? stored.content : stored.content
    }

    func status(_ status: APIStatus) -> [UInt8] {
        isProtobuf
            ? Self.envelope("Status", "v1", status.protobuf)
            : (try? Array(JSONEncoder.api.encode(status.json))) ?? []
    }

    func list(
        _ kind: ResourceKind,
        _ objects: [ObjectStore.Stored],
        version: Int64,
        continueToken: String,
        remaining: Int
    ) -> [UInt8] {
        switch format {
        case .table: return Table.json(objects, version: version)
        case .protobuf:
            let metadata = WireListMeta.with {
                $0.resourceVersion = WireText("\(version)")
                $0.continue = WireText(continueToken)
            }
            var raw = ProtobufField(1, (try? metadata.serializedBytes()) ?? []).bytes
            for object in objects { raw += ProtobufField(2, content(object).protobuf ?? []).bytes }
            return Self.envelope("\(kind.kind)List", kind.apiVersion, raw)
        case .json:
            var metadata: JSONValue = ["resourceVersion": .string("\(version)")]
            if !continueToken.isEmpty {
                metadata["continue"] = .string(continueToken)
                metadata["remainingItemCount"] = .integer(Int64(remaining))
            }
            let head = (try? JSONEncoder.api.encode(metadata)).map(Array.init) ?? []
            var body = Array(
                #"{"kind":"\#(kind.kind)List","apiVersion":"\#(kind.apiVersion)","metadata":"#.utf8
            )
            body += head + Array(#","items":["#.utf8)
            for (index, object) in objects.enumerated() {
                if index > 0 { body.append(UInt8(ascii: ",")) }
                body += content(object).json
            }
            return body + Array("]}\n".utf8)
        }
    }

    // MARK: Events of a watch

    func event(_ type: String, _ stored: ObjectStore.Stored) -> [UInt8] {
        event(type, object(stored))
    }

    func event(_ status: APIStatus) -> [UInt8] { event("ERROR", self.status(status)) }

    func bookmark(_ kind: ResourceKind, _ version: Int64, endsInitialEvents: Bool) -> [UInt8] {
        guard isProtobuf else {
            let annotations =
                endsInitialEvents ? #","annotations":{"k8s.io/initial-events-end":"true"}"# : ""
            let object =
                #"{"kind":"\#(kind.kind)","apiVersion":"\#(kind.apiVersion)","metadata":{"resourceVersion":"\#(version)"\#(annotations)}}"#
            return event("BOOKMARK", Array(object.utf8))
        }
        let object = WireAnyObject.with {
            $0.metadata.resourceVersion = WireText("\(version)")
            if endsInitialEvents {
                $0.metadata.annotations = [
                    .with {
                        $0.key = WireText("k8s.io/initial-events-end")
                        $0.value = WireText("true")
                    }
                ]
            }
        }
        let raw: [UInt8] = (try? object.serializedBytes()) ?? []
        return event("BOOKMARK", Self.envelope(kind.kind, kind.apiVersion, raw))
    }

    private func event(_ type: String, _ object: [UInt8]) -> [UInt8] {
        guard isProtobuf else {
            return Array(#"{"type":"\#(type)","object":"#.utf8) + object + Array("}\n".utf8)
        }
        let event = WireWatchEvent.with {
            $0.type = WireText(type)
            $0.object.raw = Data(object)
        }
        return Self.framed((try? event.serializedBytes()) ?? [])
    }

    /// A frame of random bytes without meaning.
    var garbage: [UInt8] {
        let noise = (0..<64).map { _ in UInt8.random(in: 0x80...0xFF) }
        return isProtobuf ? Self.framed(noise) : noise + [UInt8(ascii: "\n")]
    }

    private static func framed(_ bytes: [UInt8]) -> [UInt8] {
        withUnsafeBytes(of: UInt32(bytes.count).bigEndian, Array.init) + bytes
    }

    private static func envelope(
        _ kind: String,
        _ apiVersion: String,
        _ raw: [UInt8]
    ) -> [UInt8] {
        let envelope = WireUnknown.with {
            $0.typeMeta.kind = WireText(kind)
            $0.typeMeta.apiVersion = WireText(apiVersion)
            $0.raw = Data(raw)
        }
        return envelopeMagic + ((try? envelope.serializedBytes()) ?? [])
    }
}
