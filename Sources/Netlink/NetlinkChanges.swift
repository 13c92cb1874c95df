internal import Dispatch

/// Follows netlink multicast groups from a queue of its own, until the stream is dropped.
///
/// What was received is reduced by `digest` to values that outlive the receive buffer. An overrun
/// is reported as nil: something was missed, read everything again.
///
/// - Parameter portID: a socket of ours whose own changes are not to be heard
package func netlinkChanges<Value: Sendable>(
    _ bus: NetlinkSocket.Bus,
    groups: UInt32,
    ignoring portID: UInt32? = nil,
    _ digest: @escaping @Sendable (NetlinkMessage) -> Value?
) throws(NetlinkError) -> AsyncStream<Value?> {
    let socket = ListeningSocket(try NetlinkSocket(bus, groups: groups))
    if let portID { try socket.netlink.ignoreChanges(by: portID) }
    socket.netlink.setNonBlocking()
    let (values, continuation) = AsyncStream<Value?>.makeStream()
    socket.listen(label: "needletail.netlink.\(bus)") {
        do {
            while try socket.netlink.receive(
                timeout: 0,
                { message in
                    if message.isOverrun {
                        continuation.yield(nil)
                    } else if let value = digest(message) {
                        continuation.yield(value)
                    }
                }
            ) {}
        } catch {
            // ENOBUFS: the queue was full and messages are lost. Nothing else is expected here,
            // and the answer would be the same.
            continuation.yield(nil)
        }
    }
    continuation.onTermination = { _ in socket.stop() }
    return values
}

/// Owns a socket for the handler of its queue.
// SAFETY: the socket is used on the source's serial queue only, and `source` is set before that.
private final class ListeningSocket: @unchecked Sendable {
    let netlink: NetlinkSocket
    private var source: (any DispatchSourceRead)?

    init(_ netlink: consuming NetlinkSocket) { self.netlink = netlink }

    func listen(label: String, _ handler: @escaping @Sendable () -> Void) {
        let source = DispatchSource.makeReadSource(
            fileDescriptor: netlink.descriptor,
            queue: DispatchQueue(label: label)
        )
        source.setEventHandler(handler: handler)
        source.setCancelHandler { withExtendedLifetime(self) {} }
        self.source = source
        source.activate()
    }

    /// The cancelled source lets go of its handlers, and they of this socket: the descriptor must
    /// stay open until then, or another file of the same number is hit.
    func stop() { source?.cancel() }
}
