internal import CMnl
internal import Glibc

/// An interface that is down, or whose other end is.
package struct DeadLink: Sendable, Hashable {
    package let interface: String
    /// The bridge that it is a port of.
    package let bridge: String?

    /// Returns the dead interfaces of this network namespace, by name.
    package static func all() throws(NetlinkError) -> [DeadLink] {
        var socket = try NetlinkSocket(.route)
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 64)
        request.beginMessage(
            type: UInt16(RTM_GETLINK),
            flags: UInt16(NLM_F_REQUEST | NLM_F_DUMP),
            sequence: sequence
        )
        request.appendLinkHeader(index: 0)
        request.endMessage()
        var names: [UInt32: String] = [:]
        var dead: [(interface: String, bridge: UInt32?)] = []
        try socket.dump(
            "the interfaces",
            request: request,
            sequence: sequence,
            restart: { (names, dead) = ([:], []) }
        ) { message in
            guard message.payload.count >= MemoryLayout<ifinfomsg>.size else { return }
            let attributes = message.attributes(after: MemoryLayout<ifinfomsg>.size)
            guard let name = attributes[IFLA_IFNAME]?.text else { return }
            // struct ifinfomsg: the index, then the flags
            names[message.payload.loadUnaligned(fromByteOffset: 4, as: UInt32.self)] = name
            let flags = message.payload.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
            guard flags & alive != alive else { return }
            dead.append((name, attributes[IFLA_MASTER]?.word))
        }
        return dead.map { link in
            DeadLink(interface: link.interface, bridge: link.bridge.flatMap { names[$0] })
        }
        .sorted { $0.interface < $1.interface }
    }

    /// The flags of an interface that is up and has a carrier (`IFF_UP`, `IFF_LOWER_UP`).
    private static let alive: UInt32 = 1 | 1 << 16
}

private let IFLA_MASTER = 10
