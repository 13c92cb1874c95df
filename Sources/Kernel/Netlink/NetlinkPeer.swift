/// What sockets talk to in place of the kernel, for messages and errors that no kernel sends on
/// request.
///
/// Sockets that are opened inside `NetlinkSocket.withPeer` do.
package protocol NetlinkPeer: AnyObject, Sendable {
    /// Takes what a socket sends: one or more messages.
    func take(_ request: UnsafeRawBufferPointer) throws(NetlinkError)

    /// Passes the next datagram to the closure; it need not be valid afterwards.
    ///
    /// Returns false if there is none, as for a socket that does not block.
    func receive(_ body: (UnsafeRawBufferPointer) -> Void) throws(NetlinkError) -> Bool
}

extension NetlinkSocket {
    @TaskLocal private static var peer: (any NetlinkPeer)?

    /// Lets the sockets that the closure opens talk to a peer.
    package static func withPeer<T>(
        _ peer: any NetlinkPeer,
        _ body: () throws -> T
    ) rethrows -> T {
        try $peer.withValue(peer, operation: body)
    }

    /// The peer of sockets that are opened now; nil: the kernel.
    static var presentPeer: (any NetlinkPeer)? { peer }
}
