internal import CMnl
internal import Glibc
package import NetworkTypes

extension ConnectionTracking {
    /// Returns the entry of a connection by its original direction, without a look at others; nil if
    /// there is none.
    package mutating func connection(
        from client: AddressAndPort,
        to frontend: FrontendKey
    ) throws(NetlinkError) -> TrackedConnection? {
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 256)
        request.beginTracking(IPCTNL_MSG_CT_GET, 0, frontend.address.family, sequence)
        let isIPv4 = frontend.address.family == .ipv4
        let tuple = request.beginNest(UInt16(CTA_TUPLE_ORIG.rawValue))
        let ip = request.beginNest(UInt16(CTA_TUPLE_IP.rawValue))
        request.attribute(
            UInt16((isIPv4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC).rawValue),
            client.address
        )
        request.attribute(
            UInt16((isIPv4 ? CTA_IP_V4_DST : CTA_IP_V6_DST).rawValue),
            frontend.address
        )
        request.endNest(ip)
        let proto = request.beginNest(UInt16(CTA_TUPLE_PROTO.rawValue))
        request.attribute(UInt16(CTA_PROTO_NUM.rawValue), frontend.transport.rawValue)
        for (type, port) in [
            (CTA_PROTO_SRC_PORT, client.port), (CTA_PROTO_DST_PORT, frontend.port),
        ] {
            request.attribute(UInt16(type.rawValue), port.bigEndian)
        }
        request.endNest(proto)
        request.endNest(tuple)
        request.endMessage()
        var found: TrackedConnection?
        _ = try socket.ask(
            "looking for the connection tracking entry of \(client) to \(frontend)",
            request: request,
            sequence: sequence,
            absence: [ENOENT]
        ) { found = TrackedConnection($0.netfilterAttributes, keepsIdentity: false) }
        return found
    }
}
