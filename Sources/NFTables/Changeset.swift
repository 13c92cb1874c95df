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
