internal import Backend
internal import Glibc
internal import NetworkTypes
internal import Netlink

/// The socket of a process of this node that sends one packet of a flow: a request to open a connection,
/// or an empty datagram.
final class OwnPacket {
    private let descriptor: Int32
    private let frontend: FrontendKey
    /// The port that the packet comes from.
    let port: UInt16

    /// Takes the port, and sends nothing yet.
    init(_ packet: FirstPacket) throws(NetlinkError) {
        frontend = packet.frontend
        let isUDP = frontend.transport == .udp
        let kind = isUDP ? SOCK_DGRAM : SOCK_STREAM
        let family = frontend.address.family == .ipv4 ? AF_INET : AF_INET6
        let flags = Int32(kind.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(family, flags, Int32(frontend.transport.rawValue))
        guard descriptor >= 0 else {
            throw NetlinkError("opening a \(frontend.transport) socket", code: errno)
        }
        let place = AddressAndPort(packet.source, packet.sourcePort)
        let status = withSocketAddress(place) { bind(descriptor, $0, $1) }
        guard status == 0 else {
            let error = NetlinkError("binding a socket to \(place)", code: errno)
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        port = Self.port(of: descriptor)
    }

    /// Ends a connection with a reset.
    deinit {
        var now = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        close(descriptor)
    }

    /// Sends the packet; returns the error number, or 0.
    func send() -> Int32 {
        let status = withSocketAddress(frontend.place) { connect(descriptor, $0, $1) }
        guard status == 0 else { return errno == EINPROGRESS ? 0 : errno }
        guard frontend.transport == .udp else { return 0 }
        return Glibc.send(descriptor, nil, 0, Int32(MSG_NOSIGNAL)) < 0 ? errno : 0
    }

    private static func port(of descriptor: Int32) -> UInt16 {
        var address = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let status = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(descriptor, $0, &length)
            }
        }
        // The port has the same place in `sockaddr_in`.
        return status == 0 ? UInt16(bigEndian: address.sin6_port) : 0
    }
}

/// Calls the body with an address as the calls of sockets take it.
private func withSocketAddress(
    _ place: AddressAndPort,
    _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
) -> Int32 {
    let isIPv4 = place.address.family == .ipv4
    var storage = sockaddr_in6()
    storage.sin6_family = sa_family_t(isIPv4 ? AF_INET : AF_INET6)
    storage.sin6_port = place.port.bigEndian
    let size = isIPv4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
    withUnsafeMutableBytes(of: &storage) { bytes in
        // `sin_addr` comes right behind the port; `sin6_addr` behind the flow label, too.
        bytes[(isIPv4 ? 4 : 8)...].copyBytes(from: place.address.networkOrderBytes)
    }
    return withUnsafePointer(to: &storage) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(size)) }
    }
}
