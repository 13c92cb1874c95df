package import NFTables
package import NetworkTypes

/// What may become of a packet.
package struct Possibility: Sendable, Hashable {
    package let outcome: Outcome
    /// The share of packets to which this happens; at most so much if there are doubts.
    package internal(set) var weight: Fraction
    /// The rules that matched on the way, in their order.
    package internal(set) var rules: [RuleReference]
    /// What could not be evaluated; if there is anything, the packet *may* end so.
    package internal(set) var doubts: [Doubt]
    /// What rules have entered into sets.
    package let writes: [SetWrite]
    /// How the packet is when it is delivered; nil for other outcomes.
    package let exit: Exit?

    package var isCertain: Bool { doubts.isEmpty }
}

/// A packet at the end of its way, with its entry in conntrack.
package struct Exit: Sendable, Hashable {
    package let packet: Packet
    /// Nil: the packet is not tracked.
    package let connection: Connection?
    /// A virtual server has chosen its destination.
    let isBalanced: Bool
}

package enum Outcome: Sendable, Hashable {
    /// The packet leaves the node, or a process of the node gets it.
    ///
    /// - hook: `input`, `forward`, or `output` for what the node sends to others
    case delivered(IPAddress, port: UInt16, isMasqueraded: Bool, hook: BaseChain.Hook)
    case rejected(Rejection)
    case dropped
    /// There is no route.
    case unroutable
    /// An action that cannot be evaluated decides; the doubts name it.
    case undecided

    package enum Rejection: Sendable, Hashable {
        case reset
        case icmp(code: UInt8)
    }
}

/// A rule, or a chain's policy.
package struct RuleReference: Sendable, Hashable {
    package let table: Ruleset.TableID
    package let chain: String
    /// Nil: the policy.
    package let handle: UInt64?

    package init(_ table: Ruleset.TableID, _ chain: String, _ handle: UInt64?) {
        (self.table, self.chain, self.handle) = (table, chain, handle)
    }
}

extension RuleReference: CustomStringConvertible {
    package var description: String {
        let place = "table \(table.family) \(table.name), chain \(chain)"
        return handle.map { "\(place), handle \($0)" } ?? "\(place), its policy"
    }
}

/// Something that could not be evaluated.
package struct Doubt: Sendable, Hashable {
    /// Nil: the node's routes.
    package let rule: RuleReference?
    package let reason: String
    /// A rule may be met more than once.
    var repetition = 0

    init(_ rule: RuleReference?, _ reason: String) { (self.rule, self.reason) = (rule, reason) }
}

/// An element that a rule has added.
package struct SetWrite: Sendable, Hashable {
    package let table: Ruleset.TableID
    package let set: String
    package let key: [UInt8]
    package let value: Ruleset.Value
    /// Milliseconds; 0: the set's own.
    package let timeout: UInt64
}
