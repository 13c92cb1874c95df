package import NetworkTypes

/// The first packet of a new connection to a frontend.
package struct FirstPacket: Sendable, Hashable {
    package let source: IPAddress
    package let sourcePort: UInt16
    package let frontend: FrontendKey
    /// The interface that receives the packet; nil if a process of the node sends it.
    package let interface: String?

    package init(
        from source: IPAddress,
        _ sourcePort: UInt16,
        to frontend: FrontendKey,
        by interface: String?
    ) {
        (self.source, self.sourcePort) = (source, sourcePort)
        (self.frontend, self.interface) = (frontend, interface)
    }
}

/// Everything that the kernel, as it is now, may do to a packet: by the rules of all programs, the
/// routes and the virtual servers.
package struct Evaluation: Sendable, Hashable {
    package enum Fate: Sendable, Hashable {
        /// A process of the node gets the packet, or it leaves the node.
        case delivered(to: AddressAndPort, isMasqueraded: Bool)
        /// It is delivered, but answers, or later packets of the connection, are lost.
        case lost(after: AddressAndPort)
        case rejected, dropped
        /// The node has no route for it.
        case unroutable
        /// Nobody can tell; the doubts say why.
        case undecided
    }

    package struct Outcome: Sendable, Hashable {
        package let fate: Fate
        /// The share of connections as text, such as `1/3`; the most that it can be if there are
        /// doubts.
        package let share: String
        /// The rules that decided, as text.
        package let rules: [String]
        /// What could not be evaluated, as text; empty if the outcome is certain.
        package let doubts: [String]

        package init(_ fate: Fate, share: String, rules: [String] = [], doubts: [String] = []) {
            (self.fate, self.share) = (fate, share)
            (self.rules, self.doubts) = (rules, doubts)
        }
    }

    package let outcomes: [Outcome]
    /// What may stop the packet and was not evaluated at all, as text.
    package let doubts: [String]

    package init(_ outcomes: [Outcome], doubts: [String] = []) {
        (self.outcomes, self.doubts) = (outcomes, doubts)
    }
}
