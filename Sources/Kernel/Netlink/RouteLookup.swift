internal import CMnl
internal import Glibc
package import NetworkTypes

/// Looks up routes in the network namespace in which it was created.
package struct RouteLookup: ~Copyable {
    private var socket: NetlinkSocket

    package init() throws(NetlinkError) { socket = try NetlinkSocket(.route) }

    /// Returns the name of the interface through which an address is reached; nil without a route.
    package static func interface(toward address: IPAddress) throws(NetlinkError) -> String? {
        var lookup = try RouteLookup()
        return try lookup.route(to: address)?.interface
    }

    /// Returns whether an address belongs to the node, and the interface through which it is
    /// reached.
    ///
    /// Nil if there is no route.
    package mutating func route(
        to address: IPAddress
    ) throws(NetlinkError) -> (isLocal: Bool, interface: String?)? {
        guard let route = try socket.route(to: address) else { return nil }
        return (isLocal: route.isLocal, interface: route.interface.flatMap { interfaceName($0) })
    }

    /// Returns the name of an interface; nil if the interface is gone.
    private func interfaceName(_ index: UInt32) -> String? {
        // struct ifreq: a name of 16 bytes, then a union of 24 bytes that begins with the index.
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
    /// Looks up the route to an address in this network namespace, over rtnetlink; nil if there is
    /// none.
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
        // struct rtmsg: the family, the length of the destination, everything else zero
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
