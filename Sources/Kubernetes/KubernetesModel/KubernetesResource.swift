package import KubernetesWire

/// An object of the API as a node proxy sees it, made from a message of the API.
package protocol KubernetesResource: Decodable, Sendable {
    associatedtype Wire: WireObject

    var objectName: ObjectName { get }

    /// Throws if the object has no usable name; any other unusable value is added to `problems`.
    init(_ wire: Wire) throws(FieldProblem)

    /// Replaces values that many objects have in common with those of the pool.
    mutating func share(_ pool: inout SharingPool)
}

extension KubernetesResource {
    package mutating func share(_: inout SharingPool) {}

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
