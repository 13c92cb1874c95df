package import NFTables
package import NetworkTypes

/// The first packet of a connection, or a later one, on its way through the node.
package struct Packet: Sendable, Hashable {
    package var source, destination: IPAddress
    package var sourcePort, destinationPort: UInt16
    /// IANA's number.
    package var transport: UInt8
    /// Nil: a rule has set it to something unknown.
    package var mark: UInt32? = 0
    /// Nil: a process of the node has sent it.
    package var inputInterface: String?
    package internal(set) var outputInterface: String?
    /// Masquerading has chosen another address, which nobody here knows.
    package internal(set) var isSourceUnknown = false
    package internal(set) var isSourcePortUnknown = false

    package init(
        from source: IPAddress,
        _ sourcePort: UInt16,
        to destination: IPAddress,
        _ destinationPort: UInt16,
        _ transport: TransportProtocol,
        by inputInterface: String?
    ) {
        (self.source, self.sourcePort) = (source, sourcePort)
        (self.destination, self.destinationPort) = (destination, destinationPort)
        self.transport = transport.rawValue
        self.inputInterface = inputInterface
    }

    package var family: IPFamily { destination.family }

    package var tuple: ConnectionTuple {
        ConnectionTuple(
            source: source,
            sourcePort: sourcePort,
            destination: destination,
            destinationPort: destinationPort
        )
    }
}

/// One direction of a connection (`struct nf_conntrack_tuple`).
package struct ConnectionTuple: Sendable, Hashable {
    package var source: IPAddress
    package var sourcePort: UInt16
    package var destination: IPAddress
    package var destinationPort: UInt16

    package init(
        source: IPAddress,
        sourcePort: UInt16,
        destination: IPAddress,
        destinationPort: UInt16
    ) {
        (self.source, self.sourcePort) = (source, sourcePort)
        (self.destination, self.destinationPort) = (destination, destinationPort)
    }

    package var inverse: ConnectionTuple {
        ConnectionTuple(
            source: destination,
            sourcePort: destinationPort,
            destination: source,
            destinationPort: sourcePort
        )
    }
}

/// What conntrack knows of a packet.
package enum Tracking: Sendable, Hashable {
    /// The packet opens a connection.
    case new
    /// The packet belongs to no connection that there could be.
    case invalid
    case connection(Connection)
}

/// An entry of conntrack, as a packet of one direction sees it.
package struct Connection: Sendable, Hashable {
    /// The raw values are those of `NF_CT_STATE_BIT`.
    package enum State: UInt32, Sendable { case established = 2, related = 4, new = 8 }

    /// The bits of `enum ip_conntrack_status`.
    package enum Status {
        package static let sourceTranslated: UInt32 = 1 << 4
        package static let destinationTranslated: UInt32 = 1 << 5
        package static let sourceDecided: UInt32 = 1 << 7
        package static let destinationDecided: UInt32 = 1 << 8
    }

    package var state: State
    package var direction: KernelExpression.Direction
    package var original, reply: ConnectionTuple
    package var status: UInt32
    /// Nil: a rule has set it to something unknown.
    package var mark: UInt32? = 0
    /// `masquerade` or `snat` has decided.
    package var isMasqueraded = false

    package init(
        _ state: State,
        _ direction: KernelExpression.Direction = .original,
        original: ConnectionTuple,
        reply: ConnectionTuple,
        status: UInt32 = 0
    ) {
        (self.state, self.direction) = (state, direction)
        (self.original, self.reply, self.status) = (original, reply, status)
    }

    /// The tuple of a direction; nil: of the packet's.
    func tuple(_ direction: KernelExpression.Direction?) -> ConnectionTuple {
        (direction ?? self.direction) == .original ? original : reply
    }

    /// The tuple of packets that come the other way.
    var opposite: ConnectionTuple { direction == .original ? reply : original }
}
