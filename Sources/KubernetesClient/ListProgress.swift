internal import KubernetesModel

/// Sees to it that the pages of a list come to an end.
struct ListProgress {
    private var names: Set<ObjectName> = []
    private var seen = 0
    private var idlePages = 0

    /// An API server may send a page without objects, but hardly so many in a row.
    static let idleLimit = 20

    /// - Parameter list: all pages so far; another one is to be asked for
    mutating func check<Object: Resource>(_ list: ListPage<Object>) throws(ClientError) {
        let known = names.count
        names.formUnion(list.objects[seen...].map(\.objectName))
        seen = list.objects.count
        idlePages = names.count == known ? idlePages + 1 : 0
        guard idlePages < Self.idleLimit else {
            throw .malformed(
                request: "list of \(Object.kind) objects",
                reason: "\(idlePages) pages in a row brought no new object, and it does not end"
            )
        }
    }
}
