internal import NFTables
package import NetworkTypes

/// What a real packet met on its way, which an evaluation can be made to follow.
package struct Witness: Sendable {
    package enum Sighting: Sendable, Hashable {
        /// A base chain was called.
        case called(table: Ruleset.TableID, chain: String, Appearance)
        /// A rule matched to its end, or the policy of a chain dropped the packet.
        case matched(RuleReference)
    }

    /// The packet when a base chain was called.
    package struct Appearance: Sendable, Hashable {
        package let source, destination: AddressAndPort
        /// The numbers of the interfaces; nil: not reported.
        package let inputInterface, outputInterface: UInt32?

        package init(
            from source: AddressAndPort,
            to destination: AddressAndPort,
            inputInterface: UInt32?,
            outputInterface: UInt32?
        ) {
            (self.source, self.destination) = (source, destination)
            (self.inputInterface, self.outputInterface) = (inputInterface, outputInterface)
        }
    }

    package enum End: Sendable, Hashable {
        /// It came to the end of the last hook.
        case passed
        /// What was seen last has stopped it.
        case stopped
        /// Nothing more was seen of it.
        case lost
    }

    package let sightings: [Sighting]
    package let end: End
    /// The table by which it is traced, whose rules are no part of what was seen.
    package let tracing: Ruleset.TableID

    package init(_ sightings: [Sighting], _ end: End, tracing: Ruleset.TableID) {
        (self.sightings, self.end, self.tracing) = (sightings, end, tracing)
    }
}

/// What an evaluation takes for possible that a real packet did not do.
package enum Expectation: Sendable, Hashable {
    case call(table: Ruleset.TableID, chain: String)
    /// The chain is called, but the packet is another one by then.
    case packet(ConnectionTuple, outputInterface: String?)
    case match(RuleReference)
    case end(Outcome)
}

/// Where an evaluation parts from a real packet.
package struct Parting: Sendable {
    /// How many sightings it went along with.
    package let length: Int
    /// What it took for possible after those.
    package let expectations: [Expectation]
    /// Why it could not go on evaluating; empty if it could.
    package let doubts: [Doubt]
}

extension Evaluator {
    /// Follows a packet as a real one went, as far as that is possible by the rules and routes; nil
    /// if it is possible to its end.
    package func parting(
        from witness: Witness,
        _ packet: Packet,
        _ tracking: Tracking = .new
    ) -> Parting? {
        var walk = Walk(evaluator: self, entry: tracking)
        walk.endings.companion = Companion(witness, routing)
        walk.start(packet)
        guard walk.endings.isEmpty, let companion = walk.endings.companion else { return nil }
        return Parting(
            length: companion.length,
            expectations: companion.expectations,
            doubts: companion.doubts
        )
    }
}

/// Stops the travellers of an evaluation that do not go as a real packet went.
struct Companion {
    private let witness: Witness
    private let routing: Routing
    /// The most sightings that a traveller went along with.
    private(set) var length = 0
    private(set) var expectations: [Expectation] = []
    private(set) var doubts: [Doubt] = []

    init(_ witness: Witness, _ routing: Routing) {
        (self.witness, self.routing) = (witness, routing)
    }

    private mutating func part(_ traveller: Traveller, _ expectation: Expectation) {
        if traveller.sighted > length { (length, expectations) = (traveller.sighted, []) }
        guard traveller.sighted == length, !expectations.contains(expectation) else { return }
        expectations.append(expectation)
    }

    private func next(_ traveller: Traveller) -> Witness.Sighting? {
        traveller.sighted < witness.sightings.count ? witness.sightings[traveller.sighted] : nil
    }

    /// Those for which the real packet was seen to come to a base chain.
    mutating func calling(
        _ place: Stations.ChainPlace,
        _ travellers: [Traveller]
    ) -> [Traveller] {
        travellers.compactMap { traveller in
            guard case .called(place.table, place.name, let appearance) = next(traveller) else {
                part(traveller, .call(table: place.table, chain: place.name))
                return nil
            }
            guard fits(traveller.packet, appearance) else {
                let interface = traveller.packet.outputInterface
                part(traveller, .packet(traveller.packet.tuple, outputInterface: interface))
                return nil
            }
            var traveller = traveller
            traveller.sighted += 1
            return traveller
        }
    }

    private func fits(_ packet: Packet, _ appearance: Witness.Appearance) -> Bool {
        let (source, destination) = (appearance.source, appearance.destination)
        let isSame = { (name: String?, index: UInt32?) in
            guard let name, let index, let known = routing.interfaceIndex(name) else { return true }
            return known == index
        }
        return packet.destination == destination.address
            && packet.destinationPort == destination.port
            && (packet.isSourceUnknown || packet.source == source.address)
            && (packet.isSourcePortUnknown || packet.sourcePort == source.port)
            && isSame(packet.inputInterface, appearance.inputInterface)
            && isSame(packet.outputInterface, appearance.outputInterface)
    }

    /// Takes out those that matched other rules than the real packet.
    mutating func keep(_ exits: inout RuleMachine.Exits) {
        exits.further = matching(exits.further)
        exits.accepted = matching(exits.accepted)
        exits.returned = matching(exits.returned)
        exits.calls = exits.calls.mapValues { matching($0) }
    }

    private mutating func matching(_ travellers: [Traveller]) -> [Traveller] {
        travellers.compactMap { matching($0) }
    }

    private mutating func matching(_ traveller: Traveller) -> Traveller? {
        var traveller = traveller
        while traveller.comparedRules < traveller.rules.count {
            let rule = traveller.rules[traveller.comparedRules]
            traveller.comparedRules += 1
            guard rule.table != witness.tracing else { continue }
            guard next(traveller) == .matched(rule) else {
                part(traveller, .match(rule))
                return nil
            }
            traveller.sighted += 1
        }
        return traveller
    }

    /// Whether the real packet ended so, as far as it was seen.
    mutating func ends(_ traveller: Traveller, _ outcome: Outcome) -> Bool {
        guard let traveller = matching(traveller) else { return false }
        if outcome == .undecided {
            if traveller.sighted >= length { doubts += traveller.doubts.keys }
            part(traveller, .end(outcome))
            return false
        }
        let isSame =
            switch (witness.end, outcome) {
            case (.passed, .delivered), (.stopped, .dropped), (.stopped, .rejected): true
            // IPVS refuses what it has no destination for, without a rule.
            case (.lost, .unroutable), (.lost, .rejected): true
            default: false
            }
        guard isSame, traveller.sighted == witness.sightings.count else {
            part(traveller, .end(outcome))
            return false
        }
        return true
    }
}
