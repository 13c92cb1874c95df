/// One buffer for each text that many objects have in common: names of nodes, zones, namespaces.
package struct StringPool: Sendable {
    private var known: Set<String> = []
    private static let limit = 20_000

    package init() {}

    mutating func share(_ text: inout String) {
        // Short ones have no buffer. What is no longer used must not pile up.
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
