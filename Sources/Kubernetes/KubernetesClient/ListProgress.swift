internal import KubernetesModel

/// Makes sure that the pages of a list come to an end.
struct ListProgress {
    private var names: Set<ObjectName> = []
    private var idlePages = 0

    /// The number of pages without a new object, in a row, that is taken for an endless list.
    static let idleLimit = 20

    /// Throws if the list appears to be endless.
    ///
    /// - Parameter page: the last page, before another one is asked for
    mutating func check<Object: Resource>(_ page: ListPage<Object>) throws(ClientError) {
        let known = names.count
        names.formUnion(page.objects.map(\.objectName))
        idlePages = names.count == known ? idlePages + 1 : 0
        guard idlePages < Self.idleLimit else {
            throw .malformed(
                request: "list of \(Object.kind) objects",
                reason: "\(idlePages) pages in a row brought no new object, and it does not end"
            )
        }
    }
}
