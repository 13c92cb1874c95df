internal import CMnl
internal import Glibc
package import NetworkTypes

/// A dummy interface that holds addresses, managed over rtnetlink.
///
/// It stays down: its addresses belong to the node all the same, and it never sends anything.
package struct DummyDevice: ~Copyable {
    package let name: String
    private var socket: NetlinkSocket

    package init(_ name: String) throws(NetlinkError) {
        self.name = name
        socket = try NetlinkSocket(.route)
    }

    /// The index of the device in the socket's network namespace; nil if there is no such device.
    ///
    /// `if_nametoindex` would look in the namespace of the calling thread instead.
    private mutating func index() throws(NetlinkError) -> Int32? {
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 64)
        request.beginMessage(
            type: UInt16(RTM_GETLINK),
            flags: UInt16(NLM_F_REQUEST),
            sequence: sequence
        )
        request.appendLinkHeader(index: 0)
        request.attribute(UInt16(IFLA_IFNAME), name)
        request.endMessage()
        var index: Int32?
        _ = try socket.ask(
            "looking for \(name)",
            request: request,
            sequence: sequence,
            absence: [ENODEV]
        ) { message in
            guard message.payload.count >= MemoryLayout<ifinfomsg>.size else { return }
            index = message.payload.loadUnaligned(fromByteOffset: 4, as: Int32.self)
        }
        return index
    }

    package mutating func exists() throws(NetlinkError) -> Bool { try index() != nil }

    /// Creates the device unless it exists.
    package mutating func create() throws(NetlinkError) {
        guard try index() == nil else { return }
        var requests = RequestQueue(&socket)
        requests.append(
            type: UInt16(RTM_NEWLINK),
            flags: UInt16(NLM_F_CREATE | NLM_F_EXCL),
            ignoring: [EEXIST],
            { [name] in "making the dummy device \(name)" }
        ) {
            $0.appendLinkHeader(index: 0)
            $0.attribute(UInt16(IFLA_IFNAME), name)
            let info = $0.beginNest(UInt16(IFLA_LINKINFO))
            $0.attribute(UInt16(IFLA_INFO_KIND), "dummy")
            $0.endNest(info)
        }
        do throws(NetlinkError) {
            try requests.perform(&socket)
        } catch {
            throw error.isUnsupported ? error.lacking(.dummyDevices) : error
        }
    }

    /// Removes the device and its addresses.
    package mutating func remove() throws(NetlinkError) {
        guard let index = try index() else { return }
        var requests = RequestQueue(&socket)
        requests.append(
            type: UInt16(RTM_DELLINK),
            ignoring: [ENODEV],
            { [name] in "removing the device \(name)" }
        ) { $0.appendLinkHeader(index: index) }
        try requests.perform(&socket)
    }

    package mutating func addresses() throws(NetlinkError) -> Set<IPAddress> {
        guard let index = try index() else { return [] }
        return Set(
            try InterfaceAddresses.all(&socket).filter { $0.interface == index }.map(\.address)
        )
    }

    /// Whether packets to the address are delivered to the node, as `ip route get` would say.
    ///
    /// If so, and this device does not have the address, another interface has it.
    package mutating func isLocal(_ address: IPAddress) throws(NetlinkError) -> Bool {
        // An address without a route is not local.
        try socket.route(to: address)?.isLocal ?? false
    }

    /// Adds and removes addresses, each with its full length as the prefix length.
    package mutating func change(
        adding: some Collection<IPAddress>,
        removing: some Collection<IPAddress>
    ) throws(NetlinkError) {
        guard let index = try index() else {
            throw NetlinkError("changing addresses of \(name)", code: ENODEV)
        }
        var requests = RequestQueue(&socket)
        for (address, isNew) in adding.map({ ($0, true) }) + removing.map({ ($0, false) }) {
            requests.append(
                type: UInt16(isNew ? RTM_NEWADDR : RTM_DELADDR),
                flags: isNew ? UInt16(NLM_F_CREATE | NLM_F_EXCL) : 0,
                ignoring: [isNew ? EEXIST : EADDRNOTAVAIL],
                { [name] in
                    "\(isNew ? "adding" : "removing") \(address) \(isNew ? "to" : "from") \(name)"
                }
            ) {
                // struct ifaddrmsg
                $0.append(address.addressFamily)
                $0.append(UInt8(address.family == .ipv4 ? 32 : 128))
                $0.append(UInt8(IFA_F_NODAD))
                $0.append(UInt8(RT_SCOPE_UNIVERSE.rawValue))
                $0.append(index)
                $0.attribute(UInt16(IFA_LOCAL), address)
                $0.attribute(UInt16(IFA_ADDRESS), address)
            }
        }
        try requests.perform(&socket)
    }
}

extension IPAddress {
    /// The address family for the kernel, `AF_INET` or `AF_INET6`.
    package var addressFamily: UInt8 { UInt8(family == .ipv4 ? AF_INET : AF_INET6) }
}

private let IFA_F_NODAD = 2
