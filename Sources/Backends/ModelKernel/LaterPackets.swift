internal import NFTables
package import NetworkTypes

extension Evaluator {
    /// What may become of the answers to a packet that was delivered; nil if it is not tracked, and
    /// nothing but IPVS could know of it.
    ///
    /// - Parameter address: the address that masquerading has given the packet
    package func answers(
        to possibility: Possibility,
        masqueradedAs address: IPAddress?
    ) -> [Possibility]? {
        guard case .delivered(_, _, _, let hook) = possibility.outcome,
            let exit = possibility.exit
        else { return nil }
        var packet = exit.packet
        packet.source = exit.packet.destination
        packet.sourcePort = exit.packet.destinationPort
        packet.destination = exit.packet.source
        packet.destinationPort = exit.packet.sourcePort
        packet.inputInterface = hook == .input ? nil : exit.packet.outputInterface
        guard var connection = exit.connection else {
            guard exit.isBalanced else { return nil }
            // IPVS knows whose answers they are; to conntrack a SYN with ACK is of no connection.
            let isTCP = packet.transport == TransportProtocol.tcp.rawValue
            return possibilities(of: packet.anew, isTCP ? .invalid : .new)
        }
        if exit.packet.isSourceUnknown, let address { connection.reply.destination = address }
        connection.state = .established
        connection.direction = .reply
        packet.destination = connection.reply.destination
        packet.destinationPort = connection.reply.destinationPort
        return possibilities(of: packet.anew, .connection(connection))
    }

    /// What may become of later packets of a connection whose first packet was delivered; nil if it
    /// is not tracked.
    package func laterPackets(
        like first: Packet,
        of possibility: Possibility
    ) -> [Possibility]? {
        guard let exit = possibility.exit, var connection = exit.connection else { return nil }
        connection.state = .established
        connection.direction = .original
        var evaluator = self
        if exit.isBalanced {
            let chosen = AddressAndPort(exit.packet.destination, exit.packet.destinationPort)
            evaluator.servers = { packet in
                packet.destination == first.destination
                    ? [WeightedEndpoint(chosen, weight: 1)] : nil
            }
        }
        return evaluator.possibilities(of: first, .connection(connection))
    }
}

extension Packet {
    /// The packet as its sender sends it.
    fileprivate var anew: Packet {
        var packet = self
        packet.mark = 0
        packet.outputInterface = nil
        packet.isSourceUnknown = false
        packet.isSourcePortUnknown = false
        return packet
    }
}
