package import NetworkTypes

/// How to get a packet whose way through the kernel is to be seen.
package enum PacketOrigin: Sendable, Hashable {
    /// A process of the node sends it, from any port if the packet's own is 0.
    case sent
    /// The client's next packet that opens a connection, if one comes within the time; of datagrams the
    /// next one. Any port of the client will do if the packet's own is 0.
    case awaited(Duration)
}

/// What became of one real packet, and whether that is what an evaluation says.
package struct Verification: Sendable, Hashable {
    /// A rule that matched to its end, or the end of a base chain.
    package struct Step: Sendable, Hashable {
        /// Where the kernel has called the base chain; nil if that is not known.
        package let hook: String?
        /// The family and name of the table.
        package let table: String
        package let chain: String
        /// The handle; nil: the end of the base chain, and its policy.
        package let rule: UInt64?
        /// The rule in words, as far as it is simple.
        package let text: String
        package let verdict: String
        /// The packet behind this step, if its addresses have changed.
        package var becomes: String?

        package init(
            hook: String?,
            table: String,
            chain: String,
            rule: UInt64?,
            text: String,
            verdict: String
        ) {
            (self.hook, self.table, self.chain) = (hook, table, chain)
            (self.rule, self.text, self.verdict) = (rule, text, verdict)
        }
    }

    package enum Fate: Sendable, Hashable {
        /// It passed all rules: it went to a process of the node if there is no interface.
        case delivered(to: AddressAndPort, seenFrom: AddressAndPort, interface: String?)
        /// The last step sent the client an error, or a reset.
        case refused
        /// The last step dropped it.
        case dropped
        /// The last step left it to a program.
        case queued
        /// Nothing was seen of it after the last step.
        case lost
    }

    package enum Judgement: Sendable, Hashable {
        /// Every step, and the end, is one that the evaluation takes for possible.
        case agrees
        /// The first so many steps do; what the evaluation says instead of the next one.
        case parts(after: Int, expected: [String])
        /// Why nobody can tell.
        case cannotTell(String)
    }

    /// Nil: there was no packet.
    package let client: AddressAndPort?
    package let frontend: FrontendKey
    package let steps: [Step]
    /// Nil: there was no packet, or the trace of it is not complete.
    package let fate: Fate?
    /// What conntrack has of the connection; nil if there is none.
    package let connection: String?
    package let judgement: Judgement

    package init(
        client: AddressAndPort?,
        frontend: FrontendKey,
        steps: [Step] = [],
        fate: Fate? = nil,
        connection: String? = nil,
        _ judgement: Judgement
    ) {
        (self.client, self.frontend, self.steps) = (client, frontend, steps)
        (self.fate, self.connection, self.judgement) = (fate, connection, judgement)
    }
}
