/// The namespace and name of an object; the namespace is empty for cluster-scoped objects.
package struct ObjectName: Sendable, Hashable {
    package let namespace: String
    package let name: String

    package init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// Whether a text is the description of this name.
    package func isWritten(_ text: String) -> Bool {
        let (first, second) = (namespace.utf8, name.utf8)
        guard !first.isEmpty else { return name == text }
        guard text.utf8.count == first.count + 1 + second.count else { return false }
        let rest = text.utf8.dropFirst(first.count)
        return text.utf8.starts(with: first) && rest.first == UInt8(ascii: "/")
            && rest.dropFirst().elementsEqual(second)
    }

    /// Reads `namespace/name`, or the name alone of a cluster-scoped object.
    package init(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1).map(String.init)
        self.init(namespace: parts.count > 1 ? parts[0] : "", name: parts.last ?? "")
    }
}

extension ObjectName: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        (left.namespace, left.name) < (right.namespace, right.name)
    }
}

extension ObjectName: CustomStringConvertible {
    package var description: String { namespace.isEmpty ? name : "\(namespace)/\(name)" }
}
