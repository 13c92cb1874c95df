internal import NFTables

extension Walk {
    /// The chains that translate, and the translation itself (`net/netfilter/nf_nat_core.c:
    /// nf_nat_inet_fn`).
    ///
    /// They are asked for the first packet of a connection alone, until one of them decides; if none
    /// does, it is decided that the connection stays as it is.
    mutating func translate(
        _ chains: [Stations.ChainPlace],
        _ hook: BaseChain.Hook,
        _ travellers: [Traveller]
    ) -> [Traveller] {
        let isDestination = hook == .prerouting || hook == .output
        let decided =
            isDestination
            ? Connection.Status.destinationDecided : Connection.Status.sourceDecided
        let isOpen = { (traveller: Traveller) in
            guard let connection = traveller.connection else { return false }
            return connection.state != .established && connection.status & decided == 0
        }
        var done = travellers.filter { !isOpen($0) }
        var open = travellers.filter(isOpen)
        for chain in chains where !open.isEmpty {
            let passed = call(chain, hook, open)
            done += passed.filter { !isOpen($0) }
            open = passed.filter(isOpen)
        }
        done += open.map { traveller in
            var traveller = traveller
            traveller.connection?.status |= decided
            return traveller
        }
        return done.map { Self.translated($0, isDestination) }
    }

    /// The packet with the addresses that its connection has been given (`nf_nat_packet`).
    private static func translated(_ traveller: Traveller, _ isDestination: Bool) -> Traveller {
        guard let connection = traveller.connection else { return traveller }
        typealias Status = Connection.Status
        let isReply = connection.direction == .reply
        let bit =
            isDestination != isReply ? Status.destinationTranslated : Status.sourceTranslated
        guard connection.status & bit != 0 else { return traveller }
        var traveller = traveller
        let target = connection.opposite
        if isDestination {
            traveller.packet.destination = target.source
            traveller.packet.destinationPort = target.sourcePort
        } else {
            traveller.packet.source = target.destination
            traveller.packet.sourcePort = target.destinationPort
        }
        return traveller
    }
}
