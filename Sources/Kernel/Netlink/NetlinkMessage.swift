internal import CMnl

/// A received message, which points into the receive buffer and must not outlive it.
package struct NetlinkMessage {
    package let type: Int
    package let flags: Int
    package let sequence: UInt32
    package let payload: UnsafeRawBufferPointer

    package static let headerLength = 16

    /// Returns the attributes after a fixed header of this length in bytes.
    package func attributes(after headerLength: Int) -> AttributeReader {
        guard payload.count >= headerLength else { return .none }
        return AttributeReader(UnsafeRawBufferPointer(rebasing: payload[headerLength...]))
    }

    /// The attributes of a netfilter message, after `struct nfgenmsg`.
    package var netfilterAttributes: AttributeReader { attributes(after: 4) }
    /// The `nfgen_family` of a netfilter message.
    package var netfilterFamily: UInt8 { payload.first ?? 0 }

    package var isDone: Bool { type == Int(NLMSG_DONE) }
    package var isError: Bool { type == Int(NLMSG_ERROR) }
    package var isOverrun: Bool { type == Int(NLMSG_OVERRUN) }
    /// Whether the data changed during the dump, so that the dump must be repeated.
    package var wasInterrupted: Bool { flags & Int(NLM_F_DUMP_INTR) != 0 }

    /// The error of an `NLMSG_ERROR` as a positive number; 0 for an acknowledgement.
    package var errorCode: Int32 {
        payload.count >= 4 ? 0 &- payload.loadUnaligned(as: Int32.self) : 0
    }

    /// The text of the extended ack, if the kernel sent one.
    package var errorText: String? {
        guard isError, flags & Int(NLM_F_ACK_TLVS) != 0, payload.count >= 20 else { return nil }
        // The header of the failed message follows the code, and its body too unless it was capped.
        let echoed = Int(payload.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        let skip = 4 + (flags & Int(NLM_F_CAPPED) != 0 ? Self.headerLength : (echoed + 3) & ~3)
        return attributes(after: skip)[Int(NLMSGERR_ATTR_MSG.rawValue)]?.text
    }
}

/// The messages in the bytes that one receive call returned.
package struct NetlinkMessages: Sequence, IteratorProtocol {
    private var rest: UnsafeRawBufferPointer

    package init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    package mutating func next() -> NetlinkMessage? {
        guard rest.count >= NetlinkMessage.headerLength else { return nil }
        let length = Int(rest.loadUnaligned(as: UInt32.self))
        guard length >= NetlinkMessage.headerLength, length <= rest.count else { return nil }
        let message = NetlinkMessage(
            type: Int(rest.loadUnaligned(fromByteOffset: 4, as: UInt16.self)),
            flags: Int(rest.loadUnaligned(fromByteOffset: 6, as: UInt16.self)),
            sequence: rest.loadUnaligned(fromByteOffset: 8, as: UInt32.self),
            payload: UnsafeRawBufferPointer(rebasing: rest[NetlinkMessage.headerLength..<length])
        )
        let step = Swift.min((length + 3) & ~3, rest.count)
        rest = UnsafeRawBufferPointer(rebasing: rest[step...])
        return message
    }
}
