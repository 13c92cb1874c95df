internal import CMnl
internal import Glibc

/// An nfnetlink transaction: either all of its messages take effect, or none.
package struct NetlinkBatch: ~Copyable {
    private var buffer: MessageBuffer
    private let firstSequence: UInt32
    private var nextSequence: UInt32
    /// The descriptions of the messages, for errors; the first one describes the batch itself.
    private var operations: [@Sendable () -> String] = []

    /// Begins a batch for a subsystem.
    ///
    /// - Parameter generation: the generation ID that the changes were computed against. If another
    ///   one is current, the kernel refuses the batch with `ERESTART`. Nil accepts any generation.
    package init(subsystem: UInt16, generation: UInt32?, firstSequence: UInt32) {
        buffer = MessageBuffer(capacity: 256 * 1024)
        self.firstSequence = firstSequence
        nextSequence = firstSequence
        appendControl(UInt16(NFNL_MSG_BATCH_BEGIN), subsystem, generation)
        operations.append { "beginning a transaction" }
    }

    package var byteCount: Int { buffer.count }
    package var isEmpty: Bool { operations.count == 1 }
    package var sequenceAfter: UInt32 { nextSequence &+ 1 }

    private mutating func appendControl(_ type: UInt16, _ subsystem: UInt16, _ generation: UInt32?)
    {
        buffer.beginMessage(type: type, flags: UInt16(NLM_F_REQUEST), sequence: takeSequence())
        buffer.appendNetfilterHeader(family: UInt8(AF_UNSPEC), resource: subsystem)
        if let generation {
            buffer.attribute(UInt16(NFNL_BATCH_GENID.rawValue), bigEndian: generation)
        }
        buffer.endMessage()
    }

    private mutating func takeSequence() -> UInt32 {
        defer { nextSequence &+= 1 }
        return nextSequence
    }

    /// Appends a message, which the closure writes from its header on with the given sequence
    /// number.
    package mutating func append(
        _ operation: @escaping @Sendable () -> String,
        _ body: (inout MessageBuffer, _ sequence: UInt32) -> Void
    ) {
        operations.append(operation)
        body(&buffer, takeSequence())
    }

    /// Sends the batch and waits for the kernel's answer.
    ///
    /// Throws the first error with the operation that caused it; in that case nothing was changed.
    package mutating func commit(
        _ socket: inout NetlinkSocket,
        subsystem: UInt16
    ) throws(NetlinkError) {
        guard !isEmpty else { return }
        let last = nextSequence &- 1
        // Before Linux 6.10 the end of a batch is not acknowledged, but its last operation always
        // is.
        buffer.addFlagsToLastMessage(UInt16(NLM_F_ACK))
        appendControl(UInt16(NFNL_MSG_BATCH_END), subsystem, nil)
        try socket.send(buffer.bytes)
        var failure: NetlinkError?
        var isDone = false
        let (first, operations) = (firstSequence, operations)
        while !isDone {
            _ = try socket.receive { message in
                guard message.isError, message.sequence &- first <= last &- first else { return }
                if message.errorCode != 0, failure == nil {
                    failure = NetlinkError(
                        operations[Int(message.sequence &- first)](),
                        code: message.errorCode,
                        kernelMessage: message.errorText
                    )
                }
                isDone = isDone || message.sequence == last || message.sequence == first
            }
        }
        if let failure { throw failure }
    }
}
