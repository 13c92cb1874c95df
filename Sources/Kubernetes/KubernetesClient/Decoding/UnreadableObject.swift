internal import KubernetesModel
internal import KubernetesWire
internal import SwiftProtobuf

/// An object of a list or watch that cannot be read; other objects are not affected.
package struct UnreadableObject: Error, Sendable, Hashable {
    /// The namespace; nil if it cannot be read, and empty for cluster-scoped objects.
    package let namespace: String?
    package let name: String?
    package let reason: String
}

extension UnreadableObject {
    /// The name of the object; nil unless both the namespace and the name can be read.
    var objectName: ObjectName? {
        namespace.flatMap { namespace in name.map { ObjectName(namespace: namespace, name: $0) } }
    }
}

extension UnreadableObject: CustomStringConvertible {
    package var description: String { "\(place): \(reason)" }

    /// The object as precisely as it can be identified, for messages.
    var place: String {
        switch (namespace, name) {
        case ("", let name?): name
        case (let namespace?, let name?): "\(namespace)/\(name)"
        case ("", nil), (nil, nil): "an object whose name cannot be read"
        case (let namespace?, nil): "an object of namespace \(namespace) whose name cannot be read"
        case (nil, let name?): "\(name), of a namespace that cannot be read"
        }
    }
}

extension [UnreadableObject] {
    var names: UnreadableObjects {
        reduce(into: UnreadableObjects()) { $0.insert(namespace: $1.namespace, name: $1.name) }
    }
}

/// An object decoded from its bytes, or the reason why it cannot be.
struct ReadObject<Object: Resource> {
    let content: Result<Object, UnreadableObject>
    /// The resource version; empty if it cannot be read.
    let resourceVersion: String

    init(_ bytes: [UInt8], _ encoding: WireEncoding) {
        do throws(WireError) {
            let wire: Object.Wire = try encoding.message(from: bytes)
            resourceVersion = wire.metadata.resourceVersion.exactText ?? ""
            content = Result { () throws(FieldProblem) in try Object(wire) }
                .mapError { Self.unreadable(wire.metadata, "\($0)") }
        } catch {
            let metadata = encoding.readableMetadata(bytes)
            resourceVersion = metadata.resourceVersion.exactText ?? ""
            content = .failure(Self.unreadable(metadata, error.description))
        }
    }

    private static func unreadable(_ metadata: WireObjectMeta, _ reason: String) -> UnreadableObject
    {
        let hasNamespace = !metadata.namespace.isEmpty || !Object.isNamespaced
        return UnreadableObject(
            namespace: hasNamespace ? metadata.namespace.exactText : nil,
            name: metadata.name.isEmpty ? nil : metadata.name.exactText,
            reason: reason
        )
    }
}

extension WireEncoding {
    /// Reads as much of an object's metadata as possible when something else in it is broken.
    fileprivate func readableMetadata(_ bytes: [UInt8]) -> WireObjectMeta {
        switch self {
        case .protobuf:
            var object = WireAnyObject()
            var options = BinaryDecodingOptions()
            options.discardUnknownFields = true
            // The message keeps the fields that were read before the damage.
            try? object.merge(serializedBytes: bytes, options: options)
            return object.metadata
        case .json:
            guard let object = try? JSONMembers(bytes), let bytes = object["metadata"],
                let metadata = try? JSONMembers(bytes)
            else { return WireObjectMeta() }
            func text(_ name: String) -> WireText {
                let value = metadata[name].flatMap { try? Self.fromJSON(String.self, $0) }
                return WireText(value ?? "")
            }
            return .with {
                ($0.name, $0.namespace) = (text("name"), text("namespace"))
                $0.resourceVersion = text("resourceVersion")
            }
        }
    }
}
