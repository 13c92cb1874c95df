internal import CMnl
internal import Glibc
package import IPVS
internal import Netlink
internal import NetworkTypes

/// A socket for the generic netlink family IPVS (`linux/ip_vs.h`).
struct IPVSSocket: ~Copyable {
    private var socket: NetlinkSocket
    private var family: UInt16

    /// Opens the socket; nil if this kernel has no IPVS or has not loaded it.
    init?() throws(NetlinkError) {
        var socket = try NetlinkSocket(.generic)
        guard let family = try GenericNetlink.family("IPVS", &socket) else { return nil }
        self.family = family
        self.socket = socket
    }

    /// Looks up the family's number again, which changes if the module is unloaded and loaded.
    ///
    /// - Returns: false if the kernel has not loaded IPVS
    mutating func refresh() throws(NetlinkError) -> Bool {
        guard let family = try GenericNetlink.family("IPVS", &socket) else { return false }
        self.family = family
        return true
    }

    // MARK: Reading

    /// Returns virtual servers without their destinations.
    ///
    /// - Parameter keys: those that are wanted, if they are there; nil for all except those for firewall
    ///   marks
    mutating func servers(_ keys: Set<FrontendKey>? = nil) throws(NetlinkError) -> [VirtualServer] {
        if let keys { return try servers(among: keys) }
        var servers: [VirtualServer] = []
        try dump(
            "the virtual servers",
            command: IPVS_CMD_GET_SERVICE,
            { _ in },
            restart: { servers = [] }
        ) { attributes in
            if let server = attributes[IPVS_CMD_ATTR_SERVICE].flatMap(VirtualServer.init) {
                servers.append(server)
            }
        }
        return servers
    }

    private mutating func servers(
        among keys: Set<FrontendKey>
    ) throws(NetlinkError) -> [VirtualServer] {
        var servers: [VirtualServer] = []
        for key in keys {
            let sequence = socket.nextSequence()
            let request = request(IPVS_CMD_GET_SERVICE, NLM_F_REQUEST, sequence) {
                $0.appendServer(key)
            }
            _ = try socket.ask(
                "virtual server \(key)",
                request: request,
                sequence: sequence,
                absence: [ESRCH, ENOENT]
            ) { message in
                let service = message.genericAttributes[IPVS_CMD_ATTR_SERVICE]
                if let server = service.flatMap(VirtualServer.init) { servers.append(server) }
            }
        }
        return servers
    }

    /// Returns the counters of each virtual server.
    mutating func statistics() throws(NetlinkError) -> [FrontendKey: ServerStatistics] {
        var found: [FrontendKey: ServerStatistics] = [:]
        try dump(
            "the statistics of the virtual servers",
            command: IPVS_CMD_GET_SERVICE,
            { _ in },
            restart: { found = [:] }
        ) { attributes in
            guard let service = attributes[IPVS_CMD_ATTR_SERVICE],
                let server = VirtualServer(service)
            else { return }
            found[server.key] = ServerStatistics(service.nested[IPVS_SVC_ATTR_STATS64])
        }
        return found
    }

    /// Returns the destinations of a virtual server; none if it is gone.
    mutating func destinations(
        of key: FrontendKey
    ) throws(NetlinkError) -> [DestinationState] {
        var found: [DestinationState] = []
        do throws(NetlinkError) {
            try dump(
                "the destinations of virtual server \(key)",
                command: IPVS_CMD_GET_DEST,
                { $0.appendServer(key) },
                restart: { found = [] }
            ) { attributes in
                if let state = attributes[IPVS_CMD_ATTR_DEST]
                    .flatMap({ DestinationState($0, key.address.family) })
                {
                    found.append(state)
                }
            }
        } catch {
            guard error.code == ESRCH || error.isNotFound else { throw error }
            return []
        }
        return found
    }

    private mutating func dump(
        _ what: String,
        command: Int,
        _ body: (inout MessageBuffer) -> Void,
        restart: () -> Void,
        _ each: (AttributeReader) -> Void
    ) throws(NetlinkError) {
        let sequence = socket.nextSequence()
        let request = request(command, NLM_F_REQUEST | NLM_F_DUMP, sequence, body)
        try socket.dump(what, request: request, sequence: sequence, restart: restart) {
            each($0.genericAttributes)
        }
    }

    private func request(
        _ command: Int,
        _ flags: Int32,
        _ sequence: UInt32,
        _ body: (inout MessageBuffer) -> Void
    ) -> MessageBuffer {
        var request = MessageBuffer(capacity: 128)
        request.beginMessage(type: family, flags: UInt16(flags), sequence: sequence)
        request.appendGenericHeader(command: UInt8(command), version: 1)
        body(&request)
        request.endMessage()
        return request
    }

    // MARK: Changing

    /// The number of requests that are sent at a time.
    private static let chunk = 500

    /// Performs the operations, and returns those that the kernel refused because of what they ask
    /// for.
    ///
    /// - Throws: any other error
    @discardableResult
    mutating func perform(
        _ operations: [ServerOperation]
    ) throws(NetlinkError) -> [RefusedOperation] {
        var refused: [RefusedOperation] = []
        var rest = operations[...]
        while !rest.isEmpty {
            var requests = RequestQueue(&socket)
            let part = rest.prefix(Self.chunk)
            for operation in part {
                requests.append(
                    type: family,
                    ignoring: operation.ignoredErrors,
                    collecting: operation.refusals,
                    { operation.description }
                ) {
                    $0.appendGenericHeader(command: UInt8(operation.command), version: 1)
                    $0.append(operation)
                }
            }
            for refusal in try requests.perform(&socket) {
                refused.append(
                    RefusedOperation(
                        operation: part[part.startIndex + refusal.index],
                        error: refusal.error
                    )
                )
            }
            rest = rest.dropFirst(Self.chunk)
        }
        return refused
    }

    /// Sets the timeouts of idle connections, in seconds; 0 leaves a timeout as it is.
    mutating func setTimeouts(
        tcp: UInt32,
        tcpFIN: UInt32,
        udp: UInt32
    ) throws(NetlinkError) {
        guard tcp + tcpFIN + udp > 0 else { return }
        var requests = RequestQueue(&socket)
        requests.append(type: family, { "setting the timeouts of IPVS" }) {
            $0.appendGenericHeader(command: UInt8(IPVS_CMD_SET_CONFIG), version: 1)
            $0.attribute(UInt16(IPVS_CMD_ATTR_TIMEOUT_TCP), tcp)
            $0.attribute(UInt16(IPVS_CMD_ATTR_TIMEOUT_TCP_FIN), tcpFIN)
            $0.attribute(UInt16(IPVS_CMD_ATTR_TIMEOUT_UDP), udp)
        }
        try requests.perform(&socket)
    }
}

extension ServerOperation {
    fileprivate var command: Int {
        switch self {
        case .add: IPVS_CMD_NEW_SERVICE
        case .set: IPVS_CMD_SET_SERVICE
        case .remove: IPVS_CMD_DEL_SERVICE
        case .addDestination: IPVS_CMD_NEW_DEST
        case .setDestination: IPVS_CMD_SET_DEST
        case .removeDestination: IPVS_CMD_DEL_DEST
        }
    }

    /// Errors that do not matter: an object that is to be removed may be gone already.
    fileprivate var ignoredErrors: [Int32] {
        switch self {
        case .remove, .removeDestination: [ESRCH, ENOENT]
        case .add, .set, .addDestination, .setDestination: []
        }
    }

    /// Errors that mean that the kernel lacks what a Service asks for, and the errors that follow
    /// from that for its destinations.
    fileprivate var refusals: [Int32] {
        switch self {
        case .add, .set: [ENOENT]
        case .addDestination: [EINVAL, ESRCH]
        case .setDestination, .remove, .removeDestination: []
        }
    }
}

/// An operation that the kernel refused, and the reason.
struct RefusedOperation {
    let operation: ServerOperation
    let error: NetlinkError
}

extension MessageBuffer {
    fileprivate mutating func append(_ operation: ServerOperation) {
        switch operation {
        case .add(let server), .set(let server): appendServer(server.key, server)
        case .remove(let key): appendServer(key)
        case .addDestination(let destination, let key), .setDestination(let destination, let key):
            appendServer(key)
            appendDestination(destination.id, weight: destination.weight)
        case .removeDestination(let id, let key):
            appendServer(key)
            appendDestination(id, weight: nil)
        }
    }

    /// - Parameter server: nil if the key is enough
    fileprivate mutating func appendServer(_ key: FrontendKey, _ server: VirtualServer? = nil) {
        let nest = beginNest(UInt16(IPVS_CMD_ATTR_SERVICE))
        attribute(UInt16(IPVS_SVC_ATTR_AF), UInt16(key.address.addressFamily))
        attribute(UInt16(IPVS_SVC_ATTR_PROTOCOL), UInt16(key.transport.rawValue))
        attribute(UInt16(IPVS_SVC_ATTR_ADDR), union: key.address)
        attribute(UInt16(IPVS_SVC_ATTR_PORT), key.port.bigEndian)
        if let server {
            let isPersistent = server.persistence != nil
            let flags =
                server.flags.rawValue | (isPersistent ? UInt32(IP_VS_SVC_F_PERSISTENT) : 0)
            attribute(UInt16(IPVS_SVC_ATTR_SCHED_NAME), server.scheduler)
            // struct ip_vs_flags: the flags and their mask, 32 bits each.
            attribute(
                UInt16(IPVS_SVC_ATTR_FLAGS),
                UInt64(flags) | UInt64(VirtualServer.settableFlags) << 32
            )
            attribute(UInt16(IPVS_SVC_ATTR_TIMEOUT), server.persistence ?? 0)
            // Affinity is per client address: the value is a mask for IPv4 and a prefix length for
            // IPv6.
            attribute(
                UInt16(IPVS_SVC_ATTR_NETMASK),
                key.address.family == .ipv4 ? UInt32.max : 128
            )
        }
        endNest(nest)
    }

    /// - Parameter weight: nil if the ID is enough
    fileprivate mutating func appendDestination(_ id: Destination.ID, weight: UInt32?) {
        let nest = beginNest(UInt16(IPVS_CMD_ATTR_DEST))
        attribute(UInt16(IPVS_DEST_ATTR_ADDR_FAMILY), UInt16(id.address.addressFamily))
        attribute(UInt16(IPVS_DEST_ATTR_ADDR), union: id.address)
        attribute(UInt16(IPVS_DEST_ATTR_PORT), id.port.bigEndian)
        if let weight {
            attribute(UInt16(IPVS_DEST_ATTR_FWD_METHOD), UInt32(IP_VS_CONN_F_MASQ))
            attribute(UInt16(IPVS_DEST_ATTR_WEIGHT), weight)
            attribute(UInt16(IPVS_DEST_ATTR_U_THRESH), UInt32(0))
            attribute(UInt16(IPVS_DEST_ATTR_L_THRESH), UInt32(0))
        }
        endNest(nest)
    }
}

extension VirtualServer {
    /// The flags that this program sets and compares; the kernel has others of its own.
    fileprivate static let settableFlags: UInt32 =
        ([.schedulerFlag1, .usesPort, .ours] as Flags).rawValue | persistent

    private static var persistent: UInt32 { UInt32(IP_VS_SVC_F_PERSISTENT) }

    fileprivate init?(_ attribute: AttributeReader.Attribute) {
        let fields = attribute.nested
        guard fields[IPVS_SVC_ATTR_FWMARK] == nil,
            let family = fields[IPVS_SVC_ATTR_AF]?.short.flatMap(IPFamily.init(af:)),
            let transport = fields[IPVS_SVC_ATTR_PROTOCOL]?.short
                .flatMap({ TransportProtocol(rawValue: UInt8(truncatingIfNeeded: $0)) }),
            let address = fields[IPVS_SVC_ATTR_ADDR]?.union(family),
            let port = fields[IPVS_SVC_ATTR_PORT]?.bigEndianShort,
            let flags = fields[IPVS_SVC_ATTR_FLAGS]?.word
        else { return nil }
        let timeout = fields[IPVS_SVC_ATTR_TIMEOUT]?.word ?? 0
        self.init(
            key: FrontendKey(address, transport, port),
            scheduler: fields[IPVS_SVC_ATTR_SCHED_NAME]?.text ?? "",
            flags: Flags(rawValue: flags & Self.settableFlags & ~Self.persistent),
            persistence: flags & Self.persistent == 0 ? nil : timeout
        )
    }
}

/// A destination with its connections and counters.
package struct DestinationState: Sendable {
    package let destination: Destination
    package let connections: ServerTable.Connections
    package let statistics: ServerStatistics
}

extension DestinationState {
    fileprivate init?(_ attribute: AttributeReader.Attribute, _ family: IPFamily) {
        let fields = attribute.nested
        // A tunnel may lead from one family to the other; masquerading cannot.
        let own = fields[IPVS_DEST_ATTR_ADDR_FAMILY]?.short
        guard let address = fields[IPVS_DEST_ATTR_ADDR]?.union(family),
            own.map({ IPFamily(af: $0) == family }) ?? true,
            let port = fields[IPVS_DEST_ATTR_PORT]?.bigEndianShort,
            let weight = fields[IPVS_DEST_ATTR_WEIGHT]?.word
        else { return nil }
        destination = Destination(address, port, weight: weight)
        connections = ServerTable.Connections(
            active: Int(fields[IPVS_DEST_ATTR_ACTIVE_CONNS]?.word ?? 0),
            inactive: Int(fields[IPVS_DEST_ATTR_INACT_CONNS]?.word ?? 0)
        )
        statistics = ServerStatistics(fields[IPVS_DEST_ATTR_STATS64])
    }
}

extension ServerStatistics {
    /// Reads a `struct ip_vs_kstats`; kernels before Linux 4.1 do not send it.
    fileprivate init(_ attribute: AttributeReader.Attribute?) {
        self.init()
        guard let fields = attribute?.nested else { return }
        connections = fields[IPVS_STATS_ATTR_CONNS]?.long ?? 0
        packetsIn = fields[IPVS_STATS_ATTR_INPKTS]?.long ?? 0
        packetsOut = fields[IPVS_STATS_ATTR_OUTPKTS]?.long ?? 0
        bytesIn = fields[IPVS_STATS_ATTR_INBYTES]?.long ?? 0
        bytesOut = fields[IPVS_STATS_ATTR_OUTBYTES]?.long ?? 0
    }
}

extension AttributeReader.Attribute {
    /// The address in a `union nf_inet_addr`.
    fileprivate func union(_ family: IPFamily) -> IPAddress? {
        IPAddress(networkOrder: payload.prefix(family == .ipv4 ? 4 : 16))
    }
}

extension IPFamily {
    fileprivate init?(af: UInt16) {
        switch Int32(af) {
        case AF_INET: self = .ipv4
        case AF_INET6: self = .ipv6
        default: return nil
        }
    }
}
