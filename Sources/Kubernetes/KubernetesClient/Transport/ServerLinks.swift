internal import NetworkTypes
internal import Synchronization

/// What is known about the way to each API server.
///
/// Compression costs the server and this program more than it saves if both are on one machine.
final class ServerLinks: Sendable {
    /// Whether an address belongs to this node, beside those of loopback.
    typealias IsOwnAddress = @Sendable (IPAddress) -> Bool

    private let isOwnAddress: IsOwnAddress
    /// The peer of the last connection to each server, which its name does not tell.
    private let peers = Mutex<[String: IPAddress]>([:])

    init(_ isOwnAddress: @escaping IsOwnAddress) { self.isOwnAddress = isOwnAddress }

    func reached(_ server: String, at peer: ConnectionPeer?) {
        guard let address = peer.flatMap({ IPAddress($0.address) }) else { return }
        peers.withLock { $0[server] = address }
    }

    /// Whether the server is on this machine, as far as its address is known.
    func staysHere(_ server: String) -> Bool {
        let known = peers.withLock { $0[server] } ?? Self.address(in: server)
        return known.map { $0.isLoopback || isOwnAddress($0) } ?? false
    }

    /// Returns the address that a URL names; nil if it has a name.
    private static func address(in server: String) -> IPAddress? {
        guard let scheme = server.firstRange(of: "://") else { return nil }
        let authority = server[scheme.upperBound...].prefix { $0 != "/" }
        if authority.first == "[" { return IPAddress(authority.dropFirst().prefix { $0 != "]" }) }
        return IPAddress(authority.prefix { $0 != ":" })
    }
}
