internal import CMnl
internal import Glibc
package import NetworkTypes

/// Questions about this network namespace's routes.
package enum RouteLookup {
    /// The name of the interface by which an address is reached; nil if it is not.
    package static func interface(toward address: IPAddress) throws(NetlinkError) -> String? {
        var socket = try NetlinkSocket(.route)
        guard let index = try socket.route(to: address)?.interface else { return nil }
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard if_indextoname(index, &name) != nil else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

extension NetlinkSocket {
    /// How this network namespace sends to an address, over rtnetlink; nil: it does not.
    mutating func route(
        to address: IPAddress
    ) throws(NetlinkError) -> (isLocal: Bool, interface: UInt32?)? {
        let sequence = nextSequence()
        var request = MessageBuffer(capacity: 64)
        request.beginMessage(
            type: UInt16(RTM_GETROUTE),
            flags: UInt16(NLM_F_REQUEST),
            sequence: sequence
        )
        // struct rtmsg: the family, the length of the destination, all else zero
        request.append(address.addressFamily)
        request.append(UInt8(address.family.bitWidth))
        for _ in 0..<10 { request.append(UInt8(0)) }
        request.attribute(UInt16(RTA_DST.rawValue), address)
        request.endMessage()
        var route: (isLocal: Bool, interface: UInt32?)?
        _ = try ask(
            "looking for the route to \(address)",
            request: request,
            sequence: sequence,
            absence: [ENETUNREACH, EHOSTUNREACH, EINVAL, EACCES]
        ) { message in
            guard message.payload.count >= MemoryLayout<rtmsg>.size else { return }
            route = (
                isLocal: message.payload[7] == UInt8(RTN_LOCAL),
                interface: message.attributes(after: MemoryLayout<rtmsg>.size)[
                    Int(RTA_OIF.rawValue)
                ]?.word
            )
        }
        return route
    }
}
