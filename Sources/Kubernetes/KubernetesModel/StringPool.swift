/// A pool that keeps one copy of each string that many objects share, such as names of nodes, zones
/// and namespaces.
package struct StringPool: Sendable {
    private var known: Set<String> = []
    private static let limit = 20_000

    package init() {}

    mutating func share(_ text: inout String) {
        // Strings of up to 15 bytes need no buffer. A full pool is emptied, so that unused strings
        // do not pile up.
        guard text.utf8.count > 15 else { return }
        if known.count > Self.limit { known = [] }
        text = known.insert(text).memberAfterInsert
    }
}

extension ObjectName {
    func shared(_ pool: inout StringPool) -> ObjectName {
        var namespace = namespace
        pool.share(&namespace)
        return ObjectName(namespace: namespace, name: name)
    }
}
