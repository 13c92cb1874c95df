import ModelKernel
import NFTables
import NetworkTypes
import TestSupport

/// Does to a kernel what other programs and operators do, at random.
package struct ForeignWriter {
    package var random: Seeded

    package init(seed: UInt64) { random = Seeded(seed) }

    private mutating func pick<Value>(_ values: [Value]) -> Value? {
        values.randomElement(using: &random)
    }

    /// Makes one change, of our tables or of another one; or none, if the kernel refuses it.
    package mutating func write(to kernel: inout MemoryKernel) {
        let family = pick([IPFamily.ipv4, .ipv6]) ?? .ipv4
        let id = Ruleset.TableID(family)
        guard let table = kernel.ruleset.tables[id] else { return writeElsewhere(&kernel) }
        let chain = pick(table.chains.keys.sorted()) ?? ""
        let set = pick(table.sets.keys.sorted()) ?? ""
        switch Int.random(in: 0..<9, using: &random) {
        case 0: try? kernel.flushChain(chain, of: id)
        case 1:
            let rule = pick(table.chains[chain]?.rules ?? [])
            if let rule { try? kernel.deleteRule(rule.handle, from: chain, of: id) }
        case 2: try? kernel.addRule([.counter, .verdict(.drop, nil)], to: chain, of: id)
        case 3: try? kernel.addChain("foreign", to: id)
        case 4: try? kernel.deleteTable(id)
        case 5: try? kernel.deleteSet(set, of: id)
        case 6:
            let keys = table.sets[set]?.elements.keys.sorted { $0.lexicographicallyPrecedes($1) }
            if let key = pick(keys ?? []) { try? kernel.setElement(key, nil, in: set, of: id) }
        case 7: changeData(in: set, of: id, table, &kernel)
        default: writeElsewhere(&kernel)
        }
    }

    /// Leads an element of a map elsewhere.
    private mutating func changeData(
        in set: String,
        of id: Ruleset.TableID,
        _ table: Ruleset.Table,
        _ kernel: inout MemoryKernel
    ) {
        let elements = table.sets[set]?.elements ?? [:]
        let keys = elements.keys.sorted { $0.lexicographicallyPrecedes($1) }
        guard let key = pick(keys), var element = elements[key],
            case .data(var bytes) = element.value, !bytes.isEmpty
        else { return }
        bytes[0] ^= 1
        element.value = .data(bytes)
        try? kernel.setElement(key, element, in: set, of: id)
    }

    private mutating func writeElsewhere(_ kernel: inout MemoryKernel) {
        let id = Ruleset.TableID(.inet, "other")
        if kernel.ruleset.tables[id] == nil {
            try? kernel.addTable(id)
        } else {
            try? kernel.deleteTable(id)
        }
    }
}
