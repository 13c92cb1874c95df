internal import Dispatch

/// Netlink multicast groups that are listened to from the moment this is made.
package struct NetlinkSubscription: Sendable {
    private let socket: ListeningSocket
    private let bus: NetlinkSocket.Bus

    package init(_ bus: NetlinkSocket.Bus, groups: UInt32) throws(NetlinkError) {
        socket = ListeningSocket(try NetlinkSocket(bus, groups: groups))
        socket.netlink.setNonBlocking()
        self.bus = bus
    }

    /// What arrives, received on a queue of its own until the stream is dropped; to be called once.
    ///
    /// Messages are reduced by `digest` to values that outlive the receive buffer. An overrun is
    /// reported as nil: something was missed, read everything again.
    package func changes<Value: Sendable>(
        _ digest: @escaping @Sendable (NetlinkMessage) -> Value?
    ) -> AsyncStream<Value?> {
        let (values, continuation) = AsyncStream<Value?>.makeStream()
        socket.listen(label: "needletail.netlink.\(bus)") { [socket] in
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
                // ENOBUFS: the queue was full and messages are lost. Nothing else is expected
                // here, and the answer would be the same.
                continuation.yield(nil)
            }
        }
        continuation.onTermination = { [socket] _ in socket.stop() }
        return values
    }
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
