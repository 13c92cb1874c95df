package import NetworkTypes

/// The family, table and name of an nf_tables chain.
package struct ChainPlace: Sendable, Hashable {
    /// The number that netfilter has for the family: 1 (inet), 2 (ip) or 10 (ip6).
    package let family: UInt8
    package let table: String
    package let chain: String

    package init(_ family: UInt8, _ table: String, _ chain: String) {
        (self.family, self.table, self.chain) = (family, table, chain)
    }

    /// The family as nft writes it: `ip`, `ip6` or `inet`.
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

/// A base chain of another program at the forward hook; the chains of iptables-nft are such chains
/// too.
///
/// A packet is forwarded only if every such chain lets it pass: one chain that accepts it does not
/// overrule another that drops it.
package struct ForwardChain: Sendable, Hashable {
    /// What happens to a packet that no rule with conditions decides about.
    package enum Ending: Sendable, Hashable {
        case accepted
        /// The chain's policy drops the packet.
        case droppedByPolicy
        /// A rule without conditions refuses the packet; the text is `drop` or `reject`.
        case refusedByRule(String)
    }

    package let place: ChainPlace
    package let ending: Ending
    /// The number of rules before the ending.
    package let ruleCount: Int
    /// The names of the chains that those rules jump or go to.
    package let targets: [String]
    /// Whether one of those rules accepts every connection that the backend translates (`ct status
    /// dnat accept`).
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
