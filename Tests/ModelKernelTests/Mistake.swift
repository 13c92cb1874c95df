import ModelKernel
import NFTables

/// Something wrong in a table, of which there is everything that a rule or an element can have wrong.
struct Mistake {
    let name: String
    /// The chain that has it; nil: a set has it.
    let chain: String?
    let make: (inout Ruleset.Table) -> Void

    private init(
        _ name: String,
        _ chain: String? = nil,
        _ make: @escaping (inout Ruleset.Table) -> Void
    ) {
        (self.name, self.chain, self.make) = (name, chain, make)
    }

    static func all(in table: Ruleset.Table) -> [Mistake] {
        var mistakes: [Mistake] = []
        for (name, chain) in table.chains.sorted(by: { $0.key < $1.key }) {
            for index in chain.rules.indices {
                mistakes += rule(index, of: name, chain.rules[index].expressions, table)
            }
            if let base = chain.base { mistakes += self.base(base, of: name) }
        }
        return mistakes + elements(table)
    }

    // MARK: Rules

    private static func rule(
        _ index: Int,
        of chain: String,
        _ expressions: [KernelExpression],
        _ table: Ruleset.Table
    ) -> [Mistake] {
        let place = place(index, of: chain, expressions)
        var mistakes = [
            Mistake("\(place): no rule", chain) { $0.chains[chain]?.rules.remove(at: index) }
        ]
        for (position, expression) in expressions.enumerated() {
            for (what, wrong) in wrongs(expression, table) {
                mistakes.append(
                    Mistake("\(place), expression \(position): \(what)", chain) {
                        $0.chains[chain]?.rules[index].expressions[position] = wrong
                    }
                )
            }
        }
        return mistakes
    }

    /// Rules of pools and of source ranges come and go; one stands for all.
    private static func place(
        _ index: Int,
        of chain: String,
        _ expressions: [KernelExpression]
    ) -> String {
        switch chain {
        case "pick", "pick-local": chain
        case "source-ranges" where index > 0:
            expressions.contains(.verdict(.drop, nil)) ? "\(chain), the last" : chain
        default: "\(chain) \(index)"
        }
    }

    private static func wrongs(
        _ expression: KernelExpression,
        _ table: Ruleset.Table
    ) -> [(String, KernelExpression)] {
        switch expression {
        case .lookup(let set, let register, let destination, let negated):
            var wrongs: [(String, KernelExpression)] = []
            if destination == nil {
                wrongs.append(
                    (
                        "negated",
                        .lookup(set, register: register, into: nil, negated: !negated)
                    )
                )
            }
            let other = table.sets.filter { name, other in
                name != set && other.shape.keyLength == table.sets[set]?.shape.keyLength
                    && other.shape.dataLength == table.sets[set]?.shape.dataLength
                    && other.isVerdictMap == table.sets[set]?.isVerdictMap
            }.keys.min()
            if let other {
                wrongs.append(
                    (
                        "another set",
                        .lookup(other, register: register, into: destination, negated: negated)
                    )
                )
            }
            return wrongs
        case .compare(let comparison, let register, let bytes):
            let opposite: KernelExpression.Comparison = comparison == .equal ? .notEqual : .equal
            return [("opposite", .compare(opposite, register: register, bytes))]
        case .mask(let source, let destination, let mask, let xor):
            let wrong = mask.map { $0 ^ 0xFF }
            return [("another mask", .mask(from: source, into: destination, wrong, xor: xor))]
        case .payload(let base, let offset, let length, let register):
            let other = offset == 0 ? 2 : offset == 2 ? 0 : length == 4 ? 28 - offset : 32 - offset
            return [
                (
                    "the other end",
                    .payload(base, offset: other, length: length, register: register)
                )
            ]
        case .random(let modulus, let offset, let register) where modulus > 1:
            return [
                ("fewer", .random(modulus: modulus - 1, offset: offset, register: register))
            ]
        default: return actions(expression, table)
        }
    }

    private static func actions(
        _ expression: KernelExpression,
        _ table: Ruleset.Table
    ) -> [(String, KernelExpression)] {
        switch expression {
        case .verdict(.drop, _): return [("accepts", .verdict(.accept, nil))]
        case .verdict(.return, _): return [("drops", .verdict(.drop, nil))]
        case .verdict(.jump, let chain), .verdict(.goto, let chain):
            let other = chain == "no-service" ? "invalid" : "no-service"
            return [
                ("another chain", .verdict(.jump, other)), ("accepts", .verdict(.accept, nil)),
            ]
        case .reject: return [("drops", .verdict(.drop, nil))]
        case .masquerade: return [("accepts", .verdict(.accept, nil))]
        case .translate(var translation):
            translation.ports.min = nil
            translation.ports.max = nil
            return [
                ("accepts", .verdict(.accept, nil)), ("keeps the port", .translate(translation)),
            ]
        case .update(var update):
            update.timeout += 1
            return [("another timeout", .update(update))]
        default: return []
        }
    }

    // MARK: Base chains

    private static func base(_ base: Ruleset.Base, of chain: String) -> [Mistake] {
        var mistakes = [
            Mistake("\(chain): no chain", chain) { $0.chains[chain] = nil },
            Mistake("\(chain): it drops", chain) { $0.chains[chain]?.base?.isDropping = true },
            Mistake("\(chain): another hook", chain) {
                $0.chains[chain]?.base?.hook = base.hook == .input ? .forward : .input
            },
        ]
        // Where it is alone at its hook, its priority is of no effect.
        let wrong: Int32? =
            switch (base.hook, base.type) {
            case (.prerouting, .filter), (.output, .filter): base.priority < 0 ? 0 : -150
            case (.prerouting, .nat), (.output, .nat): base.priority + 10
            default: nil
            }
        if let wrong {
            mistakes.append(
                Mistake("\(chain): another priority", chain) {
                    $0.chains[chain]?.base?.priority = wrong
                }
            )
        }
        return mistakes
    }

    // MARK: Elements

    private static func elements(_ table: Ruleset.Table) -> [Mistake] {
        table.sets.sorted { $0.key < $1.key }.filter { !$0.value.elements.isEmpty }
            .flatMap { name, set in
                let kind = name.hasPrefix("allowed-sources") ? "allowed-sources" : name
                var mistakes = [
                    Mistake("\(kind): no elements") { $0.sets[name]?.elements = [:] }
                ]
                let keys = set.elements.keys.sorted { $0.lexicographicallyPrecedes($1) }
                mistakes.append(
                    Mistake("\(kind): every other element") {
                        for key in keys.indices.filter({ $0 % 2 == 0 }).map({ keys[$0] }) {
                            $0.sets[name]?.elements[key] = nil
                        }
                    }
                )
                guard set.shape.dataLength > 0 else { return mistakes }
                mistakes.append(
                    Mistake("\(kind): other data") { table in
                        for key in keys {
                            guard case .data(var bytes) = set.elements[key]?.value else { continue }
                            bytes[3] ^= 0x80
                            table.sets[name]?.elements[key]?.value = .data(bytes)
                        }
                    }
                )
                return mistakes
            }
    }
}
