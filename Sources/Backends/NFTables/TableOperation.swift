/// One step of a transaction on a table, as the kernel takes it.
package enum TableOperation: Sendable, Hashable {
    /// Also when the table is there.
    case addTable
    case deleteTable
    case addSet(SetDefinition)
    /// The chain alone; its rules are steps of their own.
    case addChain(Chain)
    case addRule(Rule, to: Chain.Name)
    case emptyChain(Chain.Name)
    case removeElements([Element], from: SetID)
    case addElements([Element], to: SetID)
    case deleteChain(Chain.Name)
    case deleteSet(SetID)
}

extension Changeset {
    /// The steps that make the change, in an order in which the kernel takes them.
    package func operations(_ program: Program) -> [TableOperation] {
        var operations: [TableOperation] = []
        let sorted = chains.sorted { $0.key.text < $1.key.text }
        if createsTable {
            // Adding makes sure that there is something to delete; both are one transaction.
            operations += [.addTable, .deleteTable, .addTable]
            operations += program.sets.map(TableOperation.addSet)
            operations += program.chains.map(TableOperation.addChain)
            for chain in program.chains {
                operations += chain.rules.map { .addRule($0, to: chain.name) }
            }
        } else {
            operations += addedSets.map { .addSet(SetDefinition($0)) }
            for (chain, change) in sorted { operations += change.operations(chain) }
        }
        // Packets see nothing of the order, but a key must be deleted before it is added anew.
        operations += removed.map { .removeElements($1, from: $0) }
        operations += added.map { .addElements($1, to: $0) }
        for (chain, change) in sorted where change == .delete {
            operations.append(.deleteChain(chain))
        }
        return operations + removedSets.map(TableOperation.deleteSet)
    }
}

extension Changeset.ChainChange {
    fileprivate func operations(_ name: Chain.Name) -> [TableOperation] {
        switch self {
        case .append(let rules): rules.map { .addRule($0, to: name) }
        case .replace(let rules): [.emptyChain(name)] + rules.map { .addRule($0, to: name) }
        case .create(let chain): [.addChain(chain)] + chain.rules.map { .addRule($0, to: name) }
        // The chain itself goes when nothing refers to it any more.
        case .delete: [.emptyChain(name)]
        }
    }
}

extension SetDefinition {
    /// The value of `NFTA_SET_FLAGS`.
    package var flags: UInt32 {
        var flags: UInt32 = 0
        if isInterval { flags |= Flag.interval }
        if data != nil { flags |= Flag.map }
        if isForgetful { flags |= Flag.timeout }
        if isDynamic { flags |= Flag.eval }
        return flags
    }

    /// The values of `enum nft_set_flags`.
    package enum Flag {
        package static let anonymous: UInt32 = 1 << 0
        package static let interval: UInt32 = 1 << 2
        package static let map: UInt32 = 1 << 3
        package static let timeout: UInt32 = 1 << 4
        package static let eval: UInt32 = 1 << 5
    }
}
