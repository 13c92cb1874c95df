internal import Dispatch

/// A subscription to netlink multicast groups, which begins when the value is created.
package struct NetlinkSubscription: Sendable {
    private let socket: ListeningSocket
    private let bus: NetlinkSocket.Bus

    package init(_ bus: NetlinkSocket.Bus, groups: UInt32) throws(NetlinkError) {
        socket = ListeningSocket(try NetlinkSocket(bus, groups: groups))
        socket.netlink.setNonBlocking()
        self.bus = bus
    }

    /// Returns the received changes as a stream, which ends the subscription when dropped.
    ///
    /// Call it once only. `digest` turns messages into values that outlive the receive buffer, or
    /// drops them. Nil in the stream reports an overrun: changes were missed, so everything must be
    /// read again.
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
                // ENOBUFS: the queue was full and messages were lost. No other error is expected,
                // and it would be handled in the same way.
                continuation.yield(nil)
            }
        }
        continuation.onTermination = { [socket] _ in socket.stop() }
        return values
    }
}

/// Owns a socket that the handler of a dispatch queue reads.
// SAFETY: only the source's serial queue uses the socket, and `source` is set before that.
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

    /// Stops listening.
    ///
    /// The cancelled source releases its handlers, and they release this socket. The descriptor
    /// stays open until then, since its number could otherwise be reused for another file.
    func stop() { source?.cancel() }
}
