package import NetworkTypes

/// The chains, rules and sets of a table as a kernel reports them, without elements.
package struct TableReport: Sendable {
    package var chains: Set<ChainShape>
    /// By chain, in their order.
    package var rules: [String: [[KernelExpression]]]
    package var sets: Set<SetShape>

    package init(
        chains: Set<ChainShape>,
        rules: [String: [[KernelExpression]]],
        sets: Set<SetShape>
    ) {
        (self.chains, self.rules, self.sets) = (chains, rules, sets)
    }

    /// What the table is beside the program of a variant, and the sets that are worth reading.
    package func compared(
        with variant: Program.Variant,
        _ family: IPFamily
    ) -> (contents: TableContents, readable: [SetDefinition]) {
        var contents = TableContents()
        contents.numbers.affinityTimeouts = chains.compactMap(\.affinityTimeout).sorted()
        var rules = rules
        readPoolSizes(&rules, &contents, variant, family)
        contents.numbers.sourceLengths = sourceLengths
        let program = Program(family, variant, numbers: contents.numbers)
        guard chains == Set(program.chains.map(ChainShape.init)),
            sets == Set(program.sets.map { SetShape($0, family) })
        else { return (.unusable, formerFrontends(family)) }
        for chain in program.chains where rules[chain.name.text] ?? [] != chain.expressions(family)
        {
            contents.damagedChains.insert(chain.name)
        }
        return (contents, program.sets.filter { !$0.isForgetful })
    }

    /// A table that another version or mode has made: it goes, and the flows of its frontends must be
    /// found all the same.
    private func formerFrontends(_ family: IPFamily) -> [SetDefinition] {
        let wanted = SetID.tellingOfFrontends.map(SetDefinition.init)
        let present = Set(sets.map(\.contents))
        return wanted.allSatisfy { present.contains(SetShape($0, family).contents) } ? wanted : []
    }

    /// Reads the numbers in the rules of the chains that have some; such a chain is damaged if a rule
    /// has none.
    private func readPoolSizes(
        _ rules: inout [String: [[KernelExpression]]],
        _ contents: inout TableContents,
        _ variant: Program.Variant,
        _ family: IPFamily
    ) {
        for (chain, path) in [
            (Chain.Name.pick, \ProgramNumbers.poolSizes), (.pickLocal, \.localPoolSizes),
        ] {
            let found = rules[chain.text] ?? []
            let numbers = found.compactMap(Self.number)
            contents.numbers[keyPath: path] = numbers
            let program = Program(family, variant, numbers: contents.numbers)
            let expected = program.chain(chain)?.expressions(family) ?? []
            // A change that came in parts and was not finished may have left a rule twice.
            guard found != expected || Set(numbers).count < numbers.count else { continue }
            contents.numbers[keyPath: path] = []
            rules[chain.text] = []
            contents.damagedChains.insert(chain)
        }
    }

    /// The lengths of which there are sets, in the order of the rules.
    private var sourceLengths: [UInt32] {
        let lengths = sets.compactMap { SetID.sourceLength($0.name) }.sorted()
        let listed = (rules[Chain.Name.sourceRanges.text] ?? []).compactMap(Self.number)
        return listed.sorted() == lengths ? listed : lengths
    }

    /// The number in a rule, if it has one (`ProgramNumbers`).
    private static func number(_ rule: [KernelExpression]) -> UInt32? {
        rule.lazy.compactMap { expression in
            switch expression {
            case .random(let modulus, _, _): modulus
            case .lookup(let set, _, _, _): SetID.sourceLength(set)
            default: nil
            }
        }.last
    }
}

extension SetID {
    /// The sets that tell which frontends there were.
    package static let tellingOfFrontends = [SetID.frontends, .sticky, .localPolicy]
}

extension Chain {
    fileprivate func expressions(_ family: IPFamily) -> [[KernelExpression]] {
        rules.map { $0.expressions(family) }
    }
}

/// What must be equal for a chain to be the program's, beside its rules.
package struct ChainShape: Sendable, Hashable {
    package let name: String
    package let type: String
    package let hook: UInt32?
    package let priority: Int32?
    package let policy: UInt32?

    package init(_ name: String, type: String, hook: UInt32?, priority: Int32?, policy: UInt32?) {
        (self.name, self.type, self.hook) = (name, type, hook)
        (self.priority, self.policy) = (priority, policy)
    }

    package init(_ chain: Chain) {
        self.init(
            chain.name.text,
            type: chain.base?.type.rawValue ?? "",
            hook: chain.base?.hook.rawValue,
            priority: chain.base?.priority,
            // NF_ACCEPT
            policy: chain.base == nil ? nil : 1
        )
    }

    fileprivate var affinityTimeout: UInt32? { Chain.Name.affinityTimeout(name) }
}

/// What must be equal for a set to be the program's, beside its elements.
package struct SetShape: Sendable, Hashable {
    package var name: String
    package var flags: UInt32 = 0
    package var keyLength: UInt32 = 0
    /// Of a map; 0 for verdicts.
    package var dataLength: UInt32 = 0
    package var size: UInt32 = 0
    /// Milliseconds.
    package var timeout: UInt64 = 0
    package var hasCounter = false
    package var userData: [UInt8] = []

    package init(name: String) { self.name = name }

    package init(_ set: SetDefinition, _ family: IPFamily) {
        name = set.id.name
        flags = set.flags
        keyLength = UInt32(set.keyLength(family))
        dataLength = UInt32(set.dataLength(family))
        size = set.size ?? 0
        timeout = UInt64(set.timeout ?? 0) * 1000
        hasCounter = set.hasCounter
        userData = SetUserData.bytes(set, family)
    }

    /// What must be equal for its elements to be read.
    fileprivate var contents: [String] { [name, "\(keyLength)", "\(dataLength)"] }
}
