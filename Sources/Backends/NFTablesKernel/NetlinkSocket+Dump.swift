package import CNftnl
internal import Glibc
package import NetworkTypes
package import Netlink

extension NetlinkSocket {
    /// Asks nf_tables for all objects of a type in a family and calls the body with each of them.
    package mutating func dump(
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

    /// Asks nf_tables for all objects of a type; family 0 means all families.
    package mutating func dump(
        _ what: String,
        _ type: nf_tables_msg_types,
        netfilterFamily family: UInt8,
        attributes: (inout MessageBuffer) -> Void = { _ in },
        restart: () -> Void,
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let sequence = nextSequence()
        let request = request(type, Constant.dump, family, sequence, attributes)
        try dump(what, request: request, sequence: sequence, restart: restart, body)
    }

    /// Asks nf_tables for one object, and calls the body with it if it exists.
    package mutating func ask(
        _ what: String,
        _ type: nf_tables_msg_types,
        _ family: IPFamily? = nil,
        attributes: (inout MessageBuffer) -> Void = { _ in },
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        try ask(
            what,
            type,
            netfilterFamily: family?.netfilterFamily ?? 0,
            attributes: attributes,
            body
        )
    }

    /// Asks nf_tables for one object of a family of tables, and calls the body with it if it exists.
    mutating func ask(
        _ what: String,
        _ type: nf_tables_msg_types,
        netfilterFamily family: UInt8,
        attributes: (inout MessageBuffer) -> Void,
        _ body: (NetlinkMessage) -> Void
    ) throws(NetlinkError) {
        let sequence = nextSequence()
        let request = request(type, Constant.request, family, sequence, attributes)
        _ = try ask(what, request: request, sequence: sequence, absence: [ENOENT], body)
    }

    private func request(
        _ type: nf_tables_msg_types,
        _ flags: UInt16,
        _ family: UInt8,
        _ sequence: UInt32,
        _ attributes: (inout MessageBuffer) -> Void
    ) -> MessageBuffer {
        var request = MessageBuffer(capacity: 256)
        request.beginMessage(type: Constant.messageType(type), flags: flags, sequence: sequence)
        request.appendNetfilterHeader(family: family)
        attributes(&request)
        request.endMessage()
        return request
    }
}

extension MessageBuffer {
    /// Appends the attributes of `NFT_MSG_GETSETELEM` that ask for one element of a set.
    ///
    /// - Parameter body: appends what tells the element
    mutating func appendElement(
        of set: String,
        _ table: String,
        _ body: (inout MessageBuffer) -> Void
    ) {
        attribute(UInt16(NFTA_SET_ELEM_LIST_TABLE.rawValue), table)
        attribute(UInt16(NFTA_SET_ELEM_LIST_SET.rawValue), set)
        let list = beginNest(UInt16(NFTA_SET_ELEM_LIST_ELEMENTS.rawValue))
        let element = beginNest(UInt16(NFTA_LIST_ELEM.rawValue))
        body(&self)
        endNest(element)
        endNest(list)
    }

    /// Appends the key of an element.
    mutating func appendKey(_ bytes: UnsafeRawBufferPointer) {
        let key = beginNest(UInt16(NFTA_SET_ELEM_KEY.rawValue))
        attribute(UInt16(NFTA_DATA_VALUE.rawValue), bytes: bytes)
        endNest(key)
    }
}
