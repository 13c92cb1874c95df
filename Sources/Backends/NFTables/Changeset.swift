/// The changes that a transaction makes in one table.
package struct Changeset: Sendable, Hashable {
    /// The elements to delete, which comes first, and the elements to add; a changed element is in
    /// both.
    package var removed: [SetID: [Element]] = [:]
    package var added: [SetID: [Element]] = [:]
    /// New sets that rules of changed chains refer to, and sets that no rule refers to any more.
    package var addedSets: [SetID] = []
    package var removedSets: [SetID] = []
    package var chains: [Chain.Name: ChainChange] = [:]

    /// Whether the table is replaced, with all sets, chains and rules of the program.
    package var createsTable = false

    package enum ChainChange: Sendable, Hashable {
        case append([Rule])
        case replace([Rule])
        /// Creates a chain, before all rules and elements that refer to it.
        case create(Chain)
        /// Deletes the chain, after all rules and elements that refer to it.
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
        // Packets of the endpoint's connections may still arrive.
        if set == .serviceEndpoints { add(.formerEndpoints, element) }
    }
}
