/// Which objects may be there although a list does not show them: those that cannot be read.
package struct UnreadableObjects: Sendable, Hashable {
    private var names: Set<ObjectName> = []
    /// Where an object has a name that cannot be read, so that it may be any.
    private var namespaces: Set<String> = []
    private var isAnywhere = false

    package init() {}

    /// - Parameter namespace: nil if not even that can be read
    package mutating func insert(namespace: String?, name: String?) {
        guard let namespace else { return isAnywhere = true }
        if let name {
            names.insert(ObjectName(namespace: namespace, name: name))
        } else {
            namespaces.insert(namespace)
        }
    }

    package var isEmpty: Bool { names.isEmpty && namespaces.isEmpty && !isAnywhere }

    /// Whether it may be one of them.
    package func contains(_ name: ObjectName) -> Bool {
        isAnywhere || namespaces.contains(name.namespace) || names.contains(name)
    }
}
