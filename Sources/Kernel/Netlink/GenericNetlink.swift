internal import CMnl
internal import Glibc

/// The families of generic netlink, whose numbers the kernel assigns.
package enum GenericNetlink {
    /// Returns the number of a family; nil if the kernel has no family of that name.
    package static func family(
        _ name: String,
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> UInt16? {
        let sequence = socket.nextSequence()
        var request = MessageBuffer(capacity: 64)
        request.beginMessage(
            type: UInt16(GENL_ID_CTRL),
            flags: UInt16(NLM_F_REQUEST),
            sequence: sequence
        )
        request.appendGenericHeader(command: UInt8(CTRL_CMD_GETFAMILY), version: 1)
        request.attribute(UInt16(CTRL_ATTR_FAMILY_NAME), name)
        request.endMessage()
        var family: UInt16?
        _ = try socket.ask(
            "looking up generic netlink family \(name)",
            request: request,
            sequence: sequence,
            absence: [ENOENT]
        ) { message in
            family = message.genericAttributes[Int(CTRL_ATTR_FAMILY_ID)]?.short
        }
        return family
    }
}

extension MessageBuffer {
    /// Appends `struct genlmsghdr`, which follows the netlink header.
    package mutating func appendGenericHeader(command: UInt8, version: UInt8) {
        append(command)
        append(version)
        append(UInt16(0))
    }
}

extension NetlinkMessage {
    /// The attributes after `struct genlmsghdr`.
    package var genericAttributes: AttributeReader { attributes(after: 4) }
}
