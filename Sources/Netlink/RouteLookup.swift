internal import CMnl
internal import Glibc
package import NetworkTypes

/// Questions about the routes of the network namespace in which it was made.
package struct RouteLookup: ~Copyable {
    private var socket: NetlinkSocket

    package init() throws(NetlinkError) { socket = try NetlinkSocket(.route) }

    /// The name of the interface by which an address is reached; nil if it is not.
    package static func interface(toward address: IPAddress) throws(NetlinkError) -> String? {
        var lookup = try RouteLookup()
        return try lookup.route(to: address)?.interface
    }

    /// Whether an address is the node's own, and by which interface it is reached; nil if it is not.
    package mutating func route(
        to address: IPAddress
    ) throws(NetlinkError) -> (isLocal: Bool, interface: String?)? {
        guard let route = try socket.route(to: address) else { return nil }
        return (isLocal: route.isLocal, interface: route.interface.flatMap { interfaceName($0) })
    }

    /// Nil: it is gone.
    private func interfaceName(_ index: UInt32) -> String? {
        // struct ifreq: a name of 16 bytes, then a union of 24 that begins with the index.
        let length = Int(IF_NAMESIZE)
        return withUnsafeTemporaryAllocation(byteCount: length + 24, alignment: 8) { request in
            request.initializeMemory(as: UInt8.self, repeating: 0)
            request.storeBytes(of: index, toByteOffset: length, as: UInt32.self)
            guard let base = request.baseAddress,
                ioctl(socket.descriptor, UInt(SIOCGIFNAME), base) == 0
            else { return nil }
            return String(decoding: request.prefix(length).prefix { $0 != 0 }, as: UTF8.self)
        }
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
