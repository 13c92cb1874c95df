package import KubernetesWire

/// An object of the API as a node proxy sees it, made from what the API sends.
///
/// JSON and protobuf are read into the same messages, so both give the same values.
package protocol KubernetesResource: Decodable, Sendable {
    associatedtype Wire: WireObject

    var objectName: ObjectName { get }

    /// Fails if the object cannot be told from others; a value that cannot be used is one of its
    /// `problems` instead.
    init(_ wire: Wire) throws(FieldProblem)

    /// Takes from the pool what many objects have in common.
    mutating func shareStrings(_ pool: inout StringPool)
}

extension KubernetesResource {
    package mutating func shareStrings(_: inout StringPool) {}

    package init(from decoder: any Decoder) throws {
        let wire = try Wire(json: decoder)
        do {
            try self.init(wire)
        } catch {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: decoder.codingPath
                        + error.field.split(separator: ".").map { Field(String($0)) },
                    debugDescription: error.reason
                )
            )
        }
    }
}

extension Service { package var objectName: ObjectName { name } }
extension EndpointSlice { package var objectName: ObjectName { name } }
extension Endpoints { package var objectName: ObjectName { name } }
extension Node { package var objectName: ObjectName { ObjectName(namespace: "", name: name) } }
extension ServiceCIDR {
    package var objectName: ObjectName { ObjectName(namespace: "", name: name) }
}

extension ObjectName {
    package init(_ metadata: WireObjectMeta) throws(FieldProblem) {
        guard !metadata.name.isEmpty else {
            throw FieldProblem("metadata.name", "the object has no name")
        }
        func text(_ bytes: WireText, _ field: String) throws(FieldProblem) -> String {
            if let text = bytes.exactText { return text }
            throw FieldProblem(field, "\"\(bytes.text)\" is not UTF-8")
        }
        self.init(
            namespace: try text(metadata.namespace, "metadata.namespace"),
            name: try text(metadata.name, "metadata.name")
        )
    }
}
