import NFTables
import NetworkTypes

/// A table that applies changesets as the kernel does.
///
/// A deleted element must exist; an added one must not exist, unless it is the same.
struct FakeTable {
    struct Refusal: Error, CustomStringConvertible { let description: String }

    private(set) var contents = TableContents()
    private var sets = Set(SetID.constant(Program.Variant()))
    private var affinityTimeouts: Set<UInt32> = []

    /// Somebody changes a chain, so that the table must be made anew.
    mutating func damage() { contents = .unusable }

    mutating func commit(_ changes: Changeset, program: Program) throws {
        if changes.createsTable {
            self = FakeTable()
            sets.formUnion(program.sets.map(\.id))
            affinityTimeouts = Set(program.numbers.affinityTimeouts)
        }
        for case (.rememberFor(let seconds), .create) in changes.chains {
            affinityTimeouts.insert(seconds)
        }
        sets.formUnion(changes.addedSets)
        for (set, elements) in changes.removed {
            for element in elements {
                guard contents.elements[set]?.remove(element.key) == true else {
                    throw Refusal(description: "ENOENT: \(set) \(element)")
                }
            }
        }
        for (set, elements) in changes.added {
            guard sets.contains(set) else { throw Refusal(description: "no set \(set.name)") }
            // Elements that the kernel forgets are not read back.
            for element in elements where !SetDefinition(set).isForgetful {
                let old = contents.elements[set]?[element.key]
                guard old == nil || old == element else {
                    throw Refusal(description: "EEXIST: \(set) \(element)")
                }
                contents.elements[set, default: ElementTable()].insert(element)
            }
        }
        for case (.rememberFor(let seconds), .delete) in changes.chains {
            affinityTimeouts.remove(seconds)
        }
        for element in contents.elements[.stickyTimeouts]?.all ?? [] {
            var reader = ElementReader(element.data ?? ElementBytes())
            guard let seconds = reader.hostOrderWord(), affinityTimeouts.contains(seconds) else {
                throw Refusal(description: "ENOENT: no chain for \(element)")
            }
        }
        for set in changes.removedSets {
            sets.remove(set)
            contents.elements[set] = nil
        }
        contents.elements = contents.elements.filter { !$0.value.isEmpty }
        contents.numbers = program.numbers
    }
}
