package import NFTables

/// What other programs do, or an operator by hand; each call is a transaction.
extension MemoryKernel {
    /// Adds a table, if it is not there.
    package mutating func addTable(_ id: Ruleset.TableID) throws(Refusal) {
        try write(to: id) { kernel throws(Refusal) in
            kernel.ruleset.tables[id] = kernel.ruleset.tables[id] ?? Ruleset.Table()
        }
    }

    package mutating func deleteTable(_ id: Ruleset.TableID) throws(Refusal) {
        try write(to: id) { kernel throws(Refusal) in
            guard kernel.ruleset.tables.removeValue(forKey: id) != nil else {
                throw Refusal(.missing, "table \(id.name)")
            }
        }
    }

    package mutating func addChain(
        _ name: String,
        base: Ruleset.Base? = nil,
        to id: Ruleset.TableID
    ) throws(Refusal) {
        try write(to: id) { kernel throws(Refusal) in
            var base = base
            base?.order = kernel.nextNumber()
            guard kernel.ruleset.tables[id]?.chains[name] == nil else {
                throw Refusal(.exists, "chain \(name)")
            }
            try kernel.change(id) { table throws(Refusal) in
                table.chains[name] = Ruleset.Chain(base: base)
            }
        }
    }

    package mutating func flushChain(_ name: String, of id: Ruleset.TableID) throws(Refusal) {
        try write(to: id) { kernel throws(Refusal) in
            try kernel.change(id) { table throws(Refusal) in
                guard table.chains[name] != nil else { throw Refusal(.missing, "chain \(name)") }
                table.chains[name]?.rules = []
            }
        }
    }

    package mutating func deleteChain(_ name: String, of id: Ruleset.TableID) throws(Refusal) {
        try write(to: id) { kernel throws(Refusal) in
            try kernel.change(id) { table throws(Refusal) in try table.deleteChain(name) }
        }
    }

    /// Appends a rule.
    package mutating func addRule(
        _ expressions: [KernelExpression],
        to chain: String,
        of id: Ruleset.TableID
    ) throws(Refusal) {
        try write(to: id) { kernel throws(Refusal) in
            guard var table = kernel.ruleset.tables[id] else {
                throw Refusal(.missing, "table \(id.name)")
            }
            try kernel.add(expressions, to: chain, &table)
            kernel.ruleset.tables[id] = table
        }
    }

    package mutating func deleteRule(
        _ handle: UInt64,
        from chain: String,
        of id: Ruleset.TableID
    ) throws(Refusal) {
        try write(to: id) { kernel throws(Refusal) in
            try kernel.change(id) { table throws(Refusal) in
                let index = table.chains[chain]?.rules.firstIndex { $0.handle == handle }
                guard let index else { throw Refusal(.missing, "rule \(handle)") }
                table.chains[chain]?.rules.remove(at: index)
            }
        }
    }

    package mutating func deleteSet(_ name: String, of id: Ruleset.TableID) throws(Refusal) {
        try write(to: id) { kernel throws(Refusal) in
            try kernel.change(id) { table throws(Refusal) in try table.deleteSet(name) }
        }
    }

    /// Replaces an element, or adds it, or, without one, deletes it.
    package mutating func setElement(
        _ key: [UInt8],
        _ element: Ruleset.Element?,
        in set: String,
        of id: Ruleset.TableID
    ) throws(Refusal) {
        try write(to: id) { kernel throws(Refusal) in
            try kernel.change(id) { table throws(Refusal) in
                guard table.sets[set] != nil,
                    element != nil || table.sets[set]?.elements[key] != nil
                else { throw Refusal(.missing, "set \(set), or its element") }
                table.sets[set]?.elements[key] = element
            }
        }
    }

    /// Changes a table in any way, also one that no kernel would take: tests plant mistakes so.
    package mutating func tamper(
        with id: Ruleset.TableID,
        _ body: (inout Ruleset.Table) -> Void
    ) throws(Refusal) {
        try write(to: id) { kernel throws(Refusal) in
            try kernel.change(id) { table throws(Refusal) in body(&table) }
        }
    }

    /// Enters what the rules have written for a packet.
    ///
    /// It is no transaction: the kernel tells nobody.
    package mutating func remember(_ writes: [SetWrite]) {
        for write in writes {
            ruleset.tables[write.table]?.sets[write.set]?.elements[write.key] =
                Ruleset.Element(write.value)
        }
    }

    private mutating func write(
        to id: Ruleset.TableID,
        _ body: (inout MemoryKernel) throws(Refusal) -> Void
    ) throws(Refusal) {
        var copy = self
        try body(&copy)
        self = copy
        let isOurs = id.family != .inet && id.name == RulesetPrinter.tableName
        finish(isInOurTables: isOurs, isOurs: false)
    }

    private mutating func change(
        _ id: Ruleset.TableID,
        _ body: (inout Ruleset.Table) throws(Refusal) -> Void
    ) throws(Refusal) {
        guard var table = ruleset.tables[id] else { throw Refusal(.missing, "table \(id.name)") }
        try body(&table)
        ruleset.tables[id] = table
    }
}
