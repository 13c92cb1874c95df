internal import CMnl

/// A received message; the bytes are those of the receive buffer and do not outlive it.
package struct NetlinkMessage {
    package let type: Int
    package let flags: Int
    package let sequence: UInt32
    package let payload: UnsafeRawBufferPointer

    package static let headerLength = 16

    /// The attributes behind a fixed header of this length.
    package func attributes(after headerLength: Int) -> AttributeReader {
        guard payload.count >= headerLength else {
            return AttributeReader(.init(start: nil, count: 0))
        }
        return AttributeReader(UnsafeRawBufferPointer(rebasing: payload[headerLength...]))
    }

    /// The attributes of a netfilter message, behind `struct nfgenmsg`.
    package var netfilterAttributes: AttributeReader { attributes(after: 4) }
    /// The header's `nfgen_family`.
    package var netfilterFamily: UInt8 { payload.first ?? 0 }

    package var isDone: Bool { type == Int(NLMSG_DONE) }
    package var isError: Bool { type == Int(NLMSG_ERROR) }
    package var isOverrun: Bool { type == Int(NLMSG_OVERRUN) }
    /// What the dump walks changed meanwhile, so it must be repeated.
    package var wasInterrupted: Bool { flags & Int(NLM_F_DUMP_INTR) != 0 }

    /// The error of an `NLMSG_ERROR`, positive; 0 for an acknowledgement.
    package var errorCode: Int32 {
        payload.count >= 4 ? 0 &- payload.loadUnaligned(as: Int32.self) : 0
    }

    /// The text of the extended ack, if the kernel sent one.
    package var errorText: String? {
        guard isError, flags & Int(NLM_F_ACK_TLVS) != 0, payload.count >= 20 else { return nil }
        // The header of the failed message follows the code; its body only if it was not capped.
        let echoed = Int(payload.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        let skip = 4 + (flags & Int(NLM_F_CAPPED) != 0 ? Self.headerLength : (echoed + 3) & ~3)
        return attributes(after: skip)[Int(NLMSGERR_ATTR_MSG.rawValue)]?.text
    }
}

/// Splits what one receive call returned into messages.
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
