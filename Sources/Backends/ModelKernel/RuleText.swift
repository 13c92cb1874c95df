internal import NFTables

extension Ruleset {
    /// A rule's place, and what it says, as far as it is simple: close to nft's notation.
    package func text(_ reference: RuleReference) -> String {
        let words = words(of: reference)
        return words.isEmpty ? reference.description : "\(reference): \(words)"
    }

    /// What a rule says; empty if it is not there, or if it is a policy.
    package func words(of reference: RuleReference) -> String { self[reference]?.text ?? "" }

    package subscript(reference: RuleReference) -> Rule? {
        tables[reference.table]?.chains[reference.chain]?.rules.first {
            $0.handle == reference.handle
        }
    }
}

extension Ruleset.Rule {
    /// Nothing that a packet can notice comes of the rule, except that it goes on.
    package var isHarmless: Bool {
        expressions.allSatisfy { expression in
            switch expression {
            case .verdict(let verdict, _): verdict != .drop && verdict != .queue
            case .update: true
            default: !expression.hasEffect
            }
        }
    }

    fileprivate var text: String {
        var writer = RuleWriter()
        let text = expressions.compactMap { writer.word(for: $0) }.joined(separator: " ")
        // What a later expression implies is left out.
        return [
            ("meta l4proto tcp th ", "tcp "), ("meta l4proto udp th ", "udp "),
            ("meta l4proto sctp th ", "sctp "), ("meta nfproto ipv4 ip ", "ip "),
            ("meta nfproto ipv6 ip6 ", "ip6 "),
        ].reduce(text) { $0.replacing($1.0, with: $1.1) }
    }
}

extension Possibility {
    /// Those that refused, or changed, what became of the packet.
    package func decidingRules(_ ruleset: Ruleset) -> [RuleReference] {
        switch outcome {
        case .dropped, .rejected: return Array(rules.suffix(1))
        case .delivered, .unroutable, .undecided:
            return rules.filter { ruleset[$0]?.isChanging ?? false }
        }
    }
}

extension Ruleset.Rule {
    fileprivate var isChanging: Bool {
        expressions.contains { expression in
            switch expression {
            case .translate, .masquerade, .redirect, .noTrack, .setMeta(.mark, _), .unknownAction:
                true
            default: false
            }
        }
    }
}
