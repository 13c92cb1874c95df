internal import NFTables
internal import NetworkTypes

/// The steps of a transaction, and what each of them is refused for (`net/netfilter/nf_tables_api.c`).
extension MemoryKernel {
    mutating func apply(_ operation: TableOperation, _ family: IPFamily) throws(Refusal) {
        let id = Ruleset.TableID(family)
        switch operation {
        case .addTable: ruleset.tables[id] = ruleset.tables[id] ?? Ruleset.Table()
        case .deleteTable:
            guard ruleset.tables.removeValue(forKey: id) != nil else {
                throw Refusal(.missing, "table \(id.family) \(id.name)")
            }
        default:
            // Taken out, it is changed in place.
            guard var table = ruleset.tables.removeValue(forKey: id) else {
                throw Refusal(.missing, "table \(id.family) \(id.name)")
            }
            try apply(operation, family, &table)
            ruleset.tables[id] = table
        }
    }

    private mutating func apply(
        _ operation: TableOperation,
        _ family: IPFamily,
        _ table: inout Ruleset.Table
    ) throws(Refusal) {
        switch operation {
        case .addTable, .deleteTable: break
        case .addSet(let set): try table.add(set, family)
        case .addChain(let chain): try add(chain, &table)
        case .addRule(let rule, let chain):
            try add(rule.expressions(family), to: chain.text, &table)
        case .emptyChain(let chain):
            guard table.chains[chain.text] != nil else {
                throw Refusal(.missing, "chain \(chain.text)")
            }
            table.chains[chain.text]?.rules = []
        case .removeElements(let elements, let set):
            try table.remove(elements.map(\.key.bytes), from: set.name)
        case .addElements(let elements, let id):
            try table.add(elements, to: SetDefinition(id))
        case .deleteChain(let chain): try table.deleteChain(chain.text)
        case .deleteSet(let set): try table.deleteSet(set.name)
        }
    }

    private mutating func add(_ chain: Chain, _ table: inout Ruleset.Table) throws(Refusal) {
        var base = chain.base.map { base in
            Ruleset.Base(
                base.type == .nat ? .nat : .filter,
                base.hook,
                base.priority
            )
        }
        base?.order = nextNumber()
        if let there = table.chains[chain.name.text] {
            base?.order = there.base?.order ?? 0
            guard there.base == base else { throw Refusal(.exists, "chain \(chain.name.text)") }
            return
        }
        table.chains[chain.name.text] = Ruleset.Chain(base: base)
    }

    /// Appends a rule, which must refer to nothing that is not there.
    mutating func add(
        _ expressions: [KernelExpression],
        to chain: String,
        _ table: inout Ruleset.Table
    ) throws(Refusal) {
        guard table.chains[chain] != nil else { throw Refusal(.missing, "chain \(chain)") }
        for expression in expressions {
            if let set = expression.set, table.sets[set] == nil {
                throw Refusal(.missing, "set \(set), for a rule of chain \(chain)")
            }
            if let target = expression.chain, table.chains[target] == nil {
                throw Refusal(.missing, "chain \(target), for a rule of chain \(chain)")
            }
        }
        let rule = Ruleset.Rule(handle: nextNumber(), expressions)
        table.chains[chain]?.rules.append(rule)
    }
}

extension Ruleset.Table {
    fileprivate mutating func add(
        _ definition: SetDefinition,
        _ family: IPFamily
    ) throws(Refusal) {
        let shape = SetShape(definition, family)
        if let there = sets[shape.name] {
            guard there.shape == shape else { throw Refusal(.exists, "set \(shape.name)") }
            return
        }
        var set = Ruleset.ElementSet(shape)
        set.isVerdictMap = definition.data == .affinityTimeout
        sets[shape.name] = set
    }

    fileprivate mutating func add(
        _ elements: [NFTables.Element],
        to definition: SetDefinition
    ) throws(Refusal) {
        let name = definition.id.name
        // Taken out, it is changed in place.
        guard var set = sets.removeValue(forKey: name) else {
            throw Refusal(.missing, "set \(name)")
        }
        for element in elements {
            let added = Ruleset.Element(element, definition)
            if case .verdict(_, let chain?) = added.value, chains[chain] == nil {
                throw Refusal(.missing, "chain \(chain), for an element of \(name)")
            }
            try set.add(element.key.bytes, added)
        }
        sets[name] = set
    }

    fileprivate mutating func remove(_ keys: [[UInt8]], from name: String) throws(Refusal) {
        guard var set = sets.removeValue(forKey: name) else {
            throw Refusal(.missing, "set \(name)")
        }
        for key in keys {
            guard set.elements.removeValue(forKey: key) != nil else {
                throw Refusal(.missing, "an element of \(name)")
            }
        }
        sets[name] = set
    }

    /// Takes a chain away that nothing refers to; its own rules go with it.
    mutating func deleteChain(_ name: String) throws(Refusal) {
        guard chains[name] != nil else { throw Refusal(.missing, "chain \(name)") }
        let others = chains.lazy.filter { $0.key != name }.flatMap(\.value.rules)
        let isUsed =
            others.contains { $0.expressions.contains { $0.chain == name } }
            || sets.values.contains { $0.leads(to: name) }
        guard !isUsed else { throw Refusal(.busy, "chain \(name)") }
        chains[name] = nil
    }

    /// Takes a set away that no rule refers to.
    mutating func deleteSet(_ name: String) throws(Refusal) {
        guard sets[name] != nil else { throw Refusal(.missing, "set \(name)") }
        let rules = chains.values.lazy.flatMap(\.rules)
        guard !rules.contains(where: { $0.expressions.contains { $0.set == name } }) else {
            throw Refusal(.busy, "set \(name)")
        }
        sets[name] = nil
    }
}

extension Ruleset.ElementSet {
    /// An element that is there stays, with its comment, if the new one has the same data.
    fileprivate mutating func add(_ key: [UInt8], _ element: Ruleset.Element) throws(Refusal) {
        if let there = elements[key] {
            guard there.value == element.value, there.keyEnd == element.keyEnd else {
                throw Refusal(.exists, "an element of \(shape.name)")
            }
            return
        }
        if isInterval {
            let end = element.keyEnd ?? key
            let overlaps = elements.contains { start, other in
                !end.lexicographicallyPrecedes(start)
                    && !(other.keyEnd ?? start).lexicographicallyPrecedes(key)
            }
            guard !overlaps else { throw Refusal(.exists, "a range of \(shape.name)") }
        }
        guard shape.size == 0 || elements.count < shape.size else {
            throw Refusal(.full, "set \(shape.name)")
        }
        elements[key] = element
    }

    fileprivate func leads(to chain: String) -> Bool {
        isVerdictMap
            && elements.values.contains { element in
                if case .verdict(_, chain) = element.value { true } else { false }
            }
    }
}

extension Ruleset.Element {
    /// An element of ours as the kernel has it.
    fileprivate init(_ element: NFTables.Element, _ set: SetDefinition) {
        var value = Ruleset.Value.none
        if let data = element.data {
            var reader = ElementReader(data)
            if set.data == .affinityTimeout, let seconds = reader.hostOrderWord() {
                value = .verdict(.goto, Chain.Name.rememberFor(seconds: seconds).text)
            } else {
                value = .data(data.bytes)
            }
        }
        self.init(value, keyEnd: element.keyEnd?.bytes, comment: element.comment)
    }
}

extension KernelExpression {
    /// The set that a rule refers to.
    package var set: String? {
        switch self {
        case .lookup(let set, _, _, _): set
        case .update(let update): update.set
        default: nil
        }
    }

    /// The chain that a rule refers to.
    package var chain: String? {
        if case .verdict(_, let chain) = self { chain } else { nil }
    }
}
