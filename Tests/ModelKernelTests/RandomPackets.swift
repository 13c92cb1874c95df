import ModelKernel
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport

extension RandomCluster {
    /// A packet of some client to something that it may want to reach, and what conntrack thinks of it.
    mutating func packet() -> (packet: Packet, tracking: Tracking) {
        let (source, interface) = client()
        let (destination, port, transport) = target()
        var packet = Packet(
            from: source,
            UInt16.random(in: 32_768...60_999, using: &random),
            to: destination,
            port,
            transport,
            by: interface
        )
        guard chance(8) else { return (packet, .new) }
        if chance(2) { packet.sourcePort = 8080 }
        guard chance(2) else { return (packet, .invalid) }
        return (packet, .connection(established(packet)))
    }

    /// A connection that was translated to some endpoint.
    private func established(_ packet: Packet) -> Connection {
        var reply = packet.tuple.inverse
        reply.source = address(family, 2, 33)
        reply.sourcePort = 8080
        return Connection(
            .established,
            original: packet.tuple,
            reply: reply,
            status: Connection.Status.destinationTranslated
                | Connection.Status.destinationDecided | Connection.Status.sourceDecided
        )
    }

    private mutating func client() -> (IPAddress, String?) {
        switch Int.random(in: 0..<10, using: &random) {
        // Pods here, most of them endpoints of something.
        case 0..<4:
            let host = 3 * Int.random(in: 0..<40, using: &random)
            return (address(family, 2, host), chance(4) ? "cni1" : "cni0")
        // Pods elsewhere.
        case 4: return (address(family, 2, Int.random(in: 0..<90, using: &random)), "eth0")
        case 5..<7: return (nodeAddress, nil)
        // Some of them near the source ranges.
        case 7: return (address(family, 7, Int.random(in: 0..<99, using: &random)), "eth0")
        default: return (address(family, 3, Int.random(in: 0..<24, using: &random)), "eth0")
        }
    }

    private mutating func target() -> (IPAddress, UInt16, TransportProtocol) {
        let transport = TransportProtocol.allCases.randomElement(using: &random) ?? .tcp
        let host = Int.random(in: 0..<160, using: &random)
        switch Int.random(in: 0..<20, using: &random) {
        case 0: return (address(family, 2, host), 8080, transport)
        case 1: return (address(family, 0, 500 + host), 80, transport)
        case 2: return (address(family, 7, host), 80, transport)
        case 3: return (nodeAddress, 22, transport)
        case 4...5:
            // Nobody's port, or another protocol.
            let address = frontends.randomElement(using: &random)?.key.address
            return (address ?? nodeAddress, UInt16(80 + host % 8), transport)
        default:
            guard let key = frontends.randomElement(using: &random)?.key else {
                return (nodeAddress, 22, transport)
            }
            return (key.address, key.port, key.transport)
        }
    }
}
