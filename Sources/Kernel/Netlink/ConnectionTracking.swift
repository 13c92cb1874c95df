internal import CMnl
internal import Glibc
package import NetworkTypes

/// The parts of a connection tracking entry that matter to a service proxy.
package struct TrackedConnection: Sendable, Hashable {
    /// The source address of the original direction.
    package let clientAddress: IPAddress
    package let clientPort: UInt16
    /// The address and port the client sent to: the destination of the original direction.
    package let frontend: FrontendKey
    /// The address that answers: the source of the reply direction.
    ///
    /// It equals the frontend's address if nothing was translated.
    package let endpointAddress: IPAddress
    package let endpointPort: UInt16
    /// The address that the endpoint answers to: the client's, unless it was masqueraded.
    package let seenAsAddress: IPAddress
    package let seenAsPort: UInt16
    /// The attributes by which the kernel finds the entry: its original tuple, zone and ID.
    ///
    /// Empty in events.
    fileprivate let identity: [UInt8]

    package var isTranslated: Bool {
        endpointAddress != frontend.address || endpointPort != frontend.port
    }

    package var isMasqueraded: Bool {
        seenAsAddress != clientAddress || seenAsPort != clientPort
    }
}

/// The kernel's connection tracking table, over ctnetlink.
package struct ConnectionTracking: ~Copyable {
    var socket: NetlinkSocket

    package init() throws(NetlinkError) { socket = try NetlinkSocket(.netfilter) }

    /// Reads the connections of one family and protocol that match.
    ///
    /// The kernel filters by protocol where it can (Linux 5.8), so a million TCP connections do not
    /// slow down a change to UDP. The result is checked again here.
    package mutating func connections(
        _ family: IPFamily,
        _ transport: TransportProtocol,
        where matches: (TrackedConnection) -> Bool
    ) throws(NetlinkError) -> [TrackedConnection] {
        do {
            return try dump(family, transport, filtersInKernel: true, matches)
        } catch  where error.isUnsupported {
            return try dump(family, transport, filtersInKernel: false, matches)
        }
    }

    private mutating func dump(
        _ family: IPFamily,
        _ transport: TransportProtocol,
        filtersInKernel: Bool,
        _ matches: (TrackedConnection) -> Bool
    ) throws(NetlinkError) -> [TrackedConnection] {
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 256)
        request.beginTracking(IPCTNL_MSG_CT_GET, UInt16(NLM_F_DUMP), family, sequence)
        if filtersInKernel { Self.appendFilter(&request, transport) }
        request.endMessage()
        var found: [TrackedConnection] = []
        try socket.dump(
            "connection tracking entries",
            request: request,
            sequence: sequence,
            restart: { found = [] }
        ) { message in
            guard
                let connection = TrackedConnection(
                    message.netfilterAttributes,
                    keepsIdentity: true
                ),
                connection.frontend.transport == transport, matches(connection)
            else { return }
            found.append(connection)
        }
        return found
    }

    /// Deletes an entry; returns whether it still existed.
    package mutating func delete(_ connection: TrackedConnection) throws(NetlinkError) -> Bool {
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 512)
        request.beginTracking(
            IPCTNL_MSG_CT_DELETE,
            UInt16(NLM_F_ACK),
            connection.frontend.address.family,
            sequence
        )
        connection.identity.withUnsafeBytes { request.append(bytes: $0) }
        request.endMessage()
        try socket.send(request.bytes)
        var result: NetlinkError?
        var isDone = false
        while !isDone {
            _ = try socket.receive { message in
                guard message.isError, message.sequence == sequence else { return }
                isDone = true
                guard message.errorCode != 0 else { return }
                result = NetlinkError(
                    "deleting the connection tracking entry of \(connection.frontend)",
                    code: message.errorCode,
                    kernelMessage: message.errorText
                )
            }
        }
        guard let result else { return true }
        if result.isNotFound { return false }
        throw result
    }

    /// Limits a dump to entries whose original tuple has this protocol (`ctnetlink_parse_filter`).
    private static func appendFilter(_ request: inout MessageBuffer, _ transport: TransportProtocol)
    {
        let tuple = request.beginNest(UInt16(CTA_TUPLE_ORIG.rawValue))
        let proto = request.beginNest(UInt16(CTA_TUPLE_PROTO.rawValue))
        withUnsafeBytes(of: transport.rawValue) {
            request.attribute(UInt16(CTA_PROTO_NUM.rawValue), bytes: $0)
        }
        request.endNest(proto)
        request.endNest(tuple)
        let filter = request.beginNest(UInt16(CTA_FILTER.rawValue))
        request.attribute(UInt16(CTA_FILTER_ORIG_FLAGS.rawValue), filterByProtocol)
        request.attribute(UInt16(CTA_FILTER_REPLY_FLAGS.rawValue), UInt32(0))
        request.endNest(filter)
    }

    /// `CTA_FILTER_F_CTA_PROTO_NUM` of `net/netfilter/nf_conntrack_netlink.c`, in host byte order.
    private static let filterByProtocol: UInt32 = 1 << 3
}

extension TrackedConnection {
    /// Reads the attributes of an entry; nil for protocols without ports.
    ///
    /// - Parameter keepsIdentity: whether the entry may have to be deleted
    init?(_ attributes: AttributeReader, keepsIdentity: Bool) {
        guard let original = attributes[Int(CTA_TUPLE_ORIG.rawValue)],
            let sent = Tuple(original.nested),
            let reply = attributes[Int(CTA_TUPLE_REPLY.rawValue)].flatMap({ Tuple($0.nested) }),
            let transport = TransportProtocol(rawValue: sent.transport)
        else { return nil }
        (clientAddress, clientPort) = sent.source
        frontend = FrontendKey(sent.destination.address, transport, sent.destination.port)
        (endpointAddress, endpointPort) = reply.source
        (seenAsAddress, seenAsPort) = reply.destination
        guard keepsIdentity else {
            identity = []
            return
        }
        var identity = MessageBuffer(capacity: 256)
        identity.attribute(
            UInt16(CTA_TUPLE_ORIG.rawValue) | UInt16(NLA_F_NESTED),
            bytes: original.payload
        )
        if let zone = attributes[Int(CTA_ZONE.rawValue)] {
            identity.attribute(UInt16(CTA_ZONE.rawValue), bytes: zone.payload)
        }
        // The ID protects a newer entry with the same tuple.
        if let id = attributes[Int(CTA_ID.rawValue)] {
            identity.attribute(UInt16(CTA_ID.rawValue), bytes: id.payload)
        }
        self.identity = Array(identity.bytes)
    }

    /// One direction of an entry.
    private struct Tuple {
        typealias End = (address: IPAddress, port: UInt16)

        let transport: UInt8
        let source: End
        let destination: End

        init?(_ tuple: AttributeReader) {
            guard let ip = tuple[Int(CTA_TUPLE_IP.rawValue)]?.nested,
                let proto = tuple[Int(CTA_TUPLE_PROTO.rawValue)]?.nested,
                let transport = proto[Int(CTA_PROTO_NUM.rawValue)]?.byte
            else { return nil }
            func end(
                _ ipv4: ctattr_ip,
                _ ipv6: ctattr_ip,
                _ port: ctattr_l4proto
            ) -> End? {
                guard let address = (ip[Int(ipv4.rawValue)] ?? ip[Int(ipv6.rawValue)])?.address,
                    let number = proto[Int(port.rawValue)]?.bigEndianShort
                else { return nil }
                return (address, number)
            }
            guard let source = end(CTA_IP_V4_SRC, CTA_IP_V6_SRC, CTA_PROTO_SRC_PORT),
                let destination = end(CTA_IP_V4_DST, CTA_IP_V6_DST, CTA_PROTO_DST_PORT)
            else { return nil }
            (self.transport, self.source, self.destination) = (transport, source, destination)
        }
    }
}

extension MessageBuffer {
    /// Begins a ctnetlink request.
    ///
    /// - Parameter family: the family of the entries; nil for all
    mutating func beginTracking(
        _ type: cntl_msg_types,
        _ flags: UInt16,
        _ family: IPFamily?,
        _ sequence: UInt32
    ) {
        beginMessage(
            type: UInt16(NFNL_SUBSYS_CTNETLINK) << 8 | UInt16(type.rawValue),
            flags: UInt16(NLM_F_REQUEST) | flags,
            sequence: sequence
        )
        let number = family.map { $0 == .ipv4 ? AF_INET : AF_INET6 } ?? AF_UNSPEC
        appendNetfilterHeader(family: UInt8(number))
    }
}
