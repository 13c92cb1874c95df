internal import CNftnl
internal import Glibc
internal import NetworkTypes
internal import Netlink

extension NetlinkSocket {
    /// Asks nf_tables for everything of a type in a family and hands each answer to the body.
    mutating func dump(
        _ what: String,
        _ type: nf_tables_msg_types,
        _ family: IPFamily,
        attributes: (inout MessageBuffer) -> Void = { _ in },
        restart: () -> Void,
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        try dump(
            what,
            type,
            netfilterFamily: family.netfilterFamily,
            attributes: attributes,
            restart: restart,
            body
        )
    }

    /// The same for any family; 0: all of them.
    mutating func dump(
        _ what: String,
        _ type: nf_tables_msg_types,
        netfilterFamily family: UInt8,
        attributes: (inout MessageBuffer) -> Void = { _ in },
        restart: () -> Void,
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let sequence = nextSequence()
        var request = MessageBuffer(capacity: 256)
        request.beginMessage(
            type: Constant.messageType(type),
            flags: Constant.dump,
            sequence: sequence
        )
        request.appendNetfilterHeader(family: family)
        attributes(&request)
        request.endMessage()
        try dump(what, request: request, sequence: sequence, restart: restart, body)
    }

    /// Asks nf_tables for one thing, and hands it to the body if it is there.
    mutating func ask(
        _ what: String,
        _ type: nf_tables_msg_types,
        _ family: IPFamily,
        attributes: (inout MessageBuffer) -> Void,
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let sequence = nextSequence()
        var request = MessageBuffer(capacity: 256)
        request.beginMessage(
            type: Constant.messageType(type),
            flags: Constant.request,
            sequence: sequence
        )
        request.appendNetfilterHeader(family: family.netfilterFamily)
        attributes(&request)
        request.endMessage()
        _ = try ask(what, request: request, sequence: sequence, absence: [ENOENT], body)
    }
}
