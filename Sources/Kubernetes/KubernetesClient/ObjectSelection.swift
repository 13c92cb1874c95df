/// The objects of a list that somebody needs; an API server that cannot find it sends more.
package struct ObjectSelection<Object: Resource>: Sendable {
    /// Empty: all namespaces.
    package var namespace = ""
    package var labels = ""
    package var fields = ""
    /// Nil: every object.
    package var isWanted: (@Sendable (Object) -> Bool)?

    package init() {}

    func wanted(_ objects: [Object]) -> [Object] {
        isWanted.map { objects.filter($0) } ?? objects
    }
}

extension Resource {
    /// The path of the collection in a namespace; an empty one stands for all.
    static func path(in namespace: String) -> String {
        guard !namespace.isEmpty, let slash = path.lastIndex(of: "/") else { return path }
        return path[..<slash] + "/namespaces/\(URLQuery.escaped(namespace))" + path[slash...]
    }
}
