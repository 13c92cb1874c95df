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
            let set = SetDefinition(id)
            for element in elements {
                try table.add(element.key.bytes, Ruleset.Element(element, set), to: id.name)
            }
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

    /// An element that is there stays, with its comment, if the new one has the same data.
    fileprivate mutating func add(
        _ key: [UInt8],
        _ element: Ruleset.Element,
        to name: String
    ) throws(Refusal) {
        guard let set = sets[name] else { throw Refusal(.missing, "set \(name)") }
        if case .verdict(_, let chain?) = element.value, chains[chain] == nil {
            throw Refusal(.missing, "chain \(chain), for an element of \(name)")
        }
        let isSame = { (there: Ruleset.Element) in
            there.value == element.value && there.keyEnd == element.keyEnd
        }
        if let there = set.elements[key] {
            guard isSame(there) else { throw Refusal(.exists, "an element of \(name)") }
            return
        }
        if set.isInterval {
            let end = element.keyEnd ?? key
            let overlaps = set.elements.contains { start, other in
                !end.lexicographicallyPrecedes(start)
                    && !(other.keyEnd ?? start).lexicographicallyPrecedes(key)
            }
            guard !overlaps else { throw Refusal(.exists, "a range of \(name)") }
        }
        guard set.shape.size == 0 || set.elements.count < set.shape.size else {
            throw Refusal(.full, "set \(name)")
        }
        sets[name]?.elements[key] = element
    }

    fileprivate mutating func remove(_ keys: [[UInt8]], from name: String) throws(Refusal) {
        guard sets[name] != nil else { throw Refusal(.missing, "set \(name)") }
        for key in keys {
            guard sets[name]?.elements.removeValue(forKey: key) != nil else {
                throw Refusal(.missing, "an element of \(name)")
            }
        }
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
