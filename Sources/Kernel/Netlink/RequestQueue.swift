internal import CMnl
internal import Glibc

/// Requests that the kernel answers one by one, sent many at a time.
///
/// Unlike the messages of a `NetlinkBatch` they are independent: a failure undoes no other request.
package struct RequestQueue: ~Copyable {
    private var buffer = MessageBuffer()
    private let firstSequence: UInt32
    private var operations: [Operation] = []

    private struct Operation {
        let name: @Sendable () -> String
        /// The errors to ignore, such as that an object to be removed does not exist.
        let ignored: [Int32]
        /// The errors that `perform` returns instead of throwing them.
        let collected: [Int32]
    }

    /// A request that failed with one of its collected errors.
    package struct Refusal: Sendable {
        /// The index of the request, counted from 0.
        package let index: Int
        package let error: NetlinkError
    }

    package init(_ socket: inout NetlinkSocket) { firstSequence = socket.nextSequence() }

    package var isEmpty: Bool { operations.isEmpty }
    package var byteCount: Int { buffer.count }

    /// Appends a request; the closure writes what follows the netlink header.
    ///
    /// - Parameters: - ignored: the errors to ignore, such as that an object to be removed does not
    ///   exist - collected: the errors that `perform` returns instead of throwing them - operation:
    ///   describes the request for errors
    package mutating func append(
        type: UInt16,
        flags: UInt16 = 0,
        ignoring ignored: [Int32] = [],
        collecting collected: [Int32] = [],
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
        operations.append(Operation(name: operation, ignored: ignored, collected: collected))
    }

    /// Sends all requests and waits for their answers.
    ///
    /// Throws the first error that is neither ignored nor collected.
    @discardableResult
    package consuming func perform(
        _ socket: inout NetlinkSocket
    ) throws(NetlinkError) -> [Refusal] {
        guard !operations.isEmpty else { return [] }
        socket.advance(to: firstSequence &+ UInt32(operations.count))
        try socket.send(buffer.bytes)
        var failure: NetlinkError?
        var refusals: [Refusal] = []
        var missing = operations.count
        let (first, operations) = (firstSequence, operations)
        while missing > 0 {
            _ = try socket.receive { message in
                let index = Int(message.sequence &- first)
                guard message.isError, index < operations.count else { return }
                missing -= 1
                let operation = operations[index]
                guard message.errorCode != 0, !operation.ignored.contains(message.errorCode)
                else { return }
                let isCollected = operation.collected.contains(message.errorCode)
                guard isCollected || failure == nil else { return }
                let error = NetlinkError(
                    operation.name(),
                    code: message.errorCode,
                    kernelMessage: message.errorText
                )
                if isCollected {
                    refusals.append(Refusal(index: index, error: error))
                } else {
                    failure = error
                }
            }
        }
        if let failure { throw failure }
        return refusals
    }
}
