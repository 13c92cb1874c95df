/// What a transaction changes in one table, beside creating what is constant.
package struct Changeset: Sendable, Hashable {
    /// Elements to delete, then elements to add; a changed element is in both.
    package var removed: [SetID: [Element]] = [:]
    package var added: [SetID: [Element]] = [:]
    /// Sets that rules of changed chains will refer to, and sets that they no longer do.
    package var addedSets: [SetID] = []
    package var removedSets: [SetID] = []
    package var chains: [Chain.Name: ChainChange] = [:]

    /// The table is replaced, with all sets, chains and rules of the program.
    package var createsTable = false

    package enum ChainChange: Sendable, Hashable {
        case append([Rule])
        case replace([Rule])
        /// Comes before all rules and elements that will refer to the chain.
        case create(Chain)
        /// Comes after those that have referred to it are gone.
        case delete
    }

    package init() {}

    package var isEmpty: Bool {
        !createsTable && removed.isEmpty && added.isEmpty && addedSets.isEmpty
            && removedSets.isEmpty && chains.isEmpty
    }

    package var addedCount: Int { added.values.reduce(0) { $0 + $1.count } }
    package var removedCount: Int { removed.values.reduce(0) { $0 + $1.count } }

    package mutating func add(_ set: SetID, _ element: Element) {
        added[set, default: []].append(element)
    }

    package mutating func remove(_ set: SetID, _ element: Element) {
        removed[set, default: []].append(element)
        // Packets of its connections may still come.
        if set == .serviceEndpoints { add(.formerEndpoints, element) }
    }
}

extension Changeset {
    /// The changes as several smaller ones, for a kernel that does not take them at once.
    ///
    /// Between them frontends are missing, never half-made: they go first and come last.
    package func parts(ofAtMost count: Int) -> [Changeset] {
        var first = self
        first.added = [:]
        first.removed = [:]
        first.removedSets = []
        var parts = first.isEmpty ? [] : [first]
        let isGate = { (set: SetID) in set == .frontends }
        for set in removed.keys.sorted(by: { isGate($0) && !isGate($1) }) {
            for chunk in Self.chunks(removed[set] ?? [], count) {
                parts.append(Changeset())
                parts[parts.count - 1].removed[set] = chunk
            }
        }
        for set in added.keys.sorted(by: { !isGate($0) && isGate($1) }) {
            for chunk in Self.chunks(added[set] ?? [], count) {
                parts.append(Changeset())
                parts[parts.count - 1].added[set] = chunk
            }
        }
        if !removedSets.isEmpty {
            parts.append(Changeset())
            parts[parts.count - 1].removedSets = removedSets
        }
        return parts
    }

    private static func chunks(_ elements: [Element], _ count: Int) -> [[Element]] {
        stride(from: 0, to: elements.count, by: count).map {
            Array(elements[$0..<min($0 + count, elements.count)])
        }
    }
}
