package import NetworkTypes

/// Where a chain of nf_tables is.
package struct ChainPlace: Sendable, Hashable {
    /// As netfilter numbers it: 1 (inet), 2 (ip) or 10 (ip6).
    package let family: UInt8
    package let table: String
    package let chain: String

    package init(_ family: UInt8, _ table: String, _ chain: String) {
        (self.family, self.table, self.chain) = (family, table, chain)
    }

    /// As nft writes it: `ip`, `ip6` or `inet`.
    package var familyName: String {
        switch family {
        case 2: "ip"
        case 10: "ip6"
        default: "inet"
        }
    }

    package var families: [IPFamily] {
        switch family {
        case 2: [.ipv4]
        case 10: [.ipv6]
        default: IPFamily.allCases
        }
    }
}

/// A base chain of another program at the forward hook; iptables-nft has some as well.
///
/// A packet is forwarded only if every such chain lets it pass: a chain that accepts it speaks for
/// itself alone.
package struct ForwardChain: Sendable, Hashable {
    /// What becomes of a packet that no other rule decides about.
    package enum Ending: Sendable, Hashable {
        case accepted
        /// By the chain's policy.
        case droppedByPolicy
        /// By a rule without conditions, `drop` or `reject`.
        case refusedByRule(String)
    }

    package let place: ChainPlace
    package let ending: Ending
    /// How many rules come before that.
    package let ruleCount: Int
    /// The chains that these rules lead to.
    package let targets: [String]
    /// Whether one of them accepts every connection that the backend translates
    /// (`ct status dnat accept`).
    package var acceptsServices: Bool

    package init(
        place: ChainPlace,
        ending: Ending,
        ruleCount: Int,
        targets: [String],
        acceptsServices: Bool
    ) {
        (self.place, self.ending, self.ruleCount) = (place, ending, ruleCount)
        (self.targets, self.acceptsServices) = (targets, acceptsServices)
    }
}
