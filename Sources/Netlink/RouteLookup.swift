internal import CMnl
internal import Glibc
package import NetworkTypes

/// Questions about this network namespace's routes, over rtnetlink.
package enum RouteLookup {
    /// The name of the interface by which an address is reached; nil if it is not.
    package static func interface(toward address: IPAddress) throws(NetlinkError) -> String? {
        var socket = try NetlinkSocket(.route)
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 64)
        request.beginMessage(
            type: UInt16(RTM_GETROUTE),
            flags: UInt16(NLM_F_REQUEST),
            sequence: sequence
        )
        // struct rtmsg: the family, the length of the destination, all else zero
        request.append(UInt8(address.family == .ipv4 ? AF_INET : AF_INET6))
        request.append(UInt8(address.family == .ipv4 ? 32 : 128))
        for _ in 0..<10 { request.append(UInt8(0)) }
        request.attribute(UInt16(RTA_DST.rawValue), address)
        request.endMessage()
        var index: UInt32?
        _ = try socket.ask(
            "the route to \(address)",
            request: request,
            sequence: sequence,
            absence: [ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL]
        ) { message in
            let route = message.attributes(after: MemoryLayout<rtmsg>.size)
            index = route[Int(RTA_OIF.rawValue)]?.word
        }
        guard let index else { return nil }
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard if_indextoname(index, &name) != nil else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
