internal import CMnl
internal import Glibc

/// Requests that the kernel answers one by one, sent many at a time.
///
/// Unlike a `NetlinkBatch` they stand alone: one that fails undoes no other.
package struct RequestQueue: ~Copyable {
    private var buffer = MessageBuffer()
    private let firstSequence: UInt32
    private var operations: [Operation] = []

    private struct Operation {
        let name: @Sendable () -> String
        /// Errors that are none, as that what is to be removed is gone.
        let ignored: [Int32]
    }

    package init(_ socket: inout NetlinkSocket) { firstSequence = socket.nextSequence() }

    package var isEmpty: Bool { operations.isEmpty }
    package var byteCount: Int { buffer.count }

    /// Appends a request; the body writes what follows the netlink header.
    ///
    /// - Parameters:
    ///   - ignored: errors that are none, as that what is to be removed is gone
    ///   - operation: what it does, on what, for errors
    package mutating func append(
        type: UInt16,
        flags: UInt16 = 0,
        ignoring ignored: [Int32] = [],
        _ operation: @escaping @Sendable () -> String,
        _ body: (inout MessageBuffer) -> Void
    ) {
        buffer.beginMessage(
            type: type,
            flags: UInt16(NLM_F_REQUEST | NLM_F_ACK) | flags,
            sequence: firstSequence &+ UInt32(operations.count)
        )
        body(&buffer)
        buffer.endMessage()
        operations.append(Operation(name: operation, ignored: ignored))
    }

    /// Sends all of them and waits for their answers; throws the first error.
    package consuming func perform(_ socket: inout NetlinkSocket) throws(NetlinkError) {
        guard !operations.isEmpty else { return }
        socket.advance(to: firstSequence &+ UInt32(operations.count))
        try socket.send(buffer.bytes)
        var failure: NetlinkError?
        var missing = operations.count
        let (first, operations) = (firstSequence, operations)
        while missing > 0 {
            _ = try socket.receive { message in
                let index = Int(message.sequence &- first)
                guard message.isError, index < operations.count else { return }
                missing -= 1
                let operation = operations[index]
                guard failure == nil, message.errorCode != 0,
                    !operation.ignored.contains(message.errorCode)
                else { return }
                failure = NetlinkError(
                    operation.name(),
                    code: message.errorCode,
                    kernelMessage: message.errorText
                )
            }
        }
        if let failure { throw failure }
    }
}
