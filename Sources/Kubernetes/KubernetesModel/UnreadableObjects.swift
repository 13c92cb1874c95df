/// The objects that cannot be read, and so may exist although a list does not show them.
package struct UnreadableObjects: Sendable, Hashable {
    private var names: Set<ObjectName> = []
    /// The namespaces of objects with an unreadable name, which may be any object of the namespace.
    private var namespaces: Set<String> = []
    private var isAnywhere = false

    package init() {}

    /// Adds an unreadable object.
    ///
    /// - Parameter namespace: nil if the namespace cannot be read either
    package mutating func insert(namespace: String?, name: String?) {
        guard let namespace else { return isAnywhere = true }
        if let name {
            names.insert(ObjectName(namespace: namespace, name: name))
        } else {
            namespaces.insert(namespace)
        }
    }

    package var isEmpty: Bool { names.isEmpty && namespaces.isEmpty && !isAnywhere }

    /// Whether an unreadable object may be the one with this name.
    package func contains(_ name: ObjectName) -> Bool {
        isAnywhere || namespaces.contains(name.namespace) || names.contains(name)
    }
}
