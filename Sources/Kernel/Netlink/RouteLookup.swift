internal import CMnl
internal import Glibc
package import NetworkTypes

/// A packet for which a route is wanted.
package struct RouteQuestion: Sendable, Hashable {
    package var destination: IPAddress
    /// Nil: the kernel chooses one.
    package var source: IPAddress?
    /// The interface that has received the packet; nil if the node sends it.
    package var inputInterface: String?
    package var mark: UInt32 = 0

    package init(to destination: IPAddress) { self.destination = destination }
}

/// The kernel's route for a packet.
package struct RouteAnswer: Sendable, Hashable {
    /// One of `RTN_…` of `linux/rtnetlink.h`.
    package let type: UInt8
    package let interface: String?
    /// The address that the node has toward the destination.
    package let preferredSource: IPAddress?
    /// Whether another node is to pass the packet on.
    package let hasGateway: Bool

    package var isLocal: Bool { type == UInt8(RTN_LOCAL) }
}

/// Looks up routes in the network namespace in which it was created.
package struct RouteLookup: ~Copyable {
    private var socket: NetlinkSocket

    package init() throws(NetlinkError) { socket = try NetlinkSocket(.route) }

    /// Returns whether an address belongs to the node, and the interface through which it is
    /// reached.
    ///
    /// Nil if there is no route.
    package mutating func route(
        to address: IPAddress
    ) throws(NetlinkError) -> (isLocal: Bool, interface: String?)? {
        try route(RouteQuestion(to: address)).map { ($0.isLocal, $0.interface) }
    }

    /// Returns the route of a packet; nil if the kernel would not let it pass.
    package mutating func route(
        _ question: RouteQuestion
    ) throws(NetlinkError) -> RouteAnswer? {
        var index: UInt32?
        if let name = question.inputInterface {
            index = interfaceIndex(name)
            if index == nil { throw NetlinkError("looking for interface \(name)", code: errno) }
        }
        guard let route = try socket.route(question, from: index) else { return nil }
        return RouteAnswer(
            type: route.type,
            interface: route.interface.flatMap { interfaceName($0) },
            preferredSource: route.source,
            hasGateway: route.hasGateway
        )
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

    /// Returns the index of an interface; nil if there is none with this name.
    package func interfaceIndex(_ name: String) -> UInt32? {
        let length = Int(IF_NAMESIZE)
        return withUnsafeTemporaryAllocation(byteCount: length + 24, alignment: 8) { request in
            request.initializeMemory(as: UInt8.self, repeating: 0)
            request.copyBytes(from: name.utf8.prefix(length - 1))
            guard let base = request.baseAddress,
                ioctl(socket.descriptor, UInt(SIOCGIFINDEX), base) == 0
            else { return nil }
            return request.load(fromByteOffset: length, as: UInt32.self)
        }
    }
}

/// A route with its interface's index.
private struct Route {
    let type: UInt8
    let interface: UInt32?
    let source: IPAddress?
    let hasGateway: Bool
}

extension NetlinkSocket {
    /// Looks up the route to an address in this network namespace, over rtnetlink; nil if there is
    /// none.
    mutating func route(
        to address: IPAddress
    ) throws(NetlinkError) -> (isLocal: Bool, interface: UInt32?)? {
        try route(RouteQuestion(to: address), from: nil).map {
            ($0.type == UInt8(RTN_LOCAL), $0.interface)
        }
    }

    /// Looks up the route of a packet; nil if the kernel would not let it pass.
    ///
    /// - Parameter index: the interface that has received the packet
    fileprivate mutating func route(
        _ question: RouteQuestion,
        from index: UInt32?
    ) throws(NetlinkError) -> Route? {
        let sequence = nextSequence()
        var request = MessageBuffer(capacity: 128)
        request.beginMessage(
            type: UInt16(RTM_GETROUTE),
            flags: UInt16(NLM_F_REQUEST),
            sequence: sequence
        )
        let bits = UInt8(question.destination.family.bitWidth)
        // struct rtmsg: the family, the lengths of the addresses, everything else zero
        request.append(question.destination.addressFamily)
        request.append(bits)
        request.append(question.source == nil ? 0 : bits)
        for _ in 0..<9 { request.append(UInt8(0)) }
        request.attribute(UInt16(RTA_DST.rawValue), question.destination)
        if let source = question.source { request.attribute(UInt16(RTA_SRC.rawValue), source) }
        if let index { request.attribute(UInt16(RTA_IIF.rawValue), index) }
        if question.mark != 0 {
            request.attribute(UInt16(RTA_MARK.rawValue), question.mark)
        }
        request.endMessage()
        var route: Route?
        _ = try ask(
            "looking for the route to \(question.destination)",
            request: request,
            sequence: sequence,
            absence: [ENETUNREACH, EHOSTUNREACH, EINVAL, EACCES, EXDEV]
        ) { message in
            guard message.payload.count >= MemoryLayout<rtmsg>.size else { return }
            let attributes = message.attributes(after: MemoryLayout<rtmsg>.size)
            route = Route(
                type: message.payload[7],
                interface: attributes[Int(RTA_OIF.rawValue)]?.word,
                source: attributes[Int(RTA_PREFSRC.rawValue)]?.address,
                hasGateway: [RTA_GATEWAY, RTA_VIA].contains { attributes[Int($0.rawValue)] != nil }
            )
        }
        return route
    }
}
