internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes
internal import Synchronization
internal import Threads

/// A TUN device on each node, and a program that carries its packets in UDP, as flannel's backend
/// `udp` does; IPv4 only.
final class UDPTunnels: NodeInterconnect {
    /// The number of bytes that IPv4 and UDP add.
    static let overhead = 28
    private static let device = "flannel0"
    static let port: UInt16 = 8285
    /// The ends of socket pairs whose closing ends a forwarder.
    private let bells = Mutex<[Int32]>([])

    func connect(_ node: Topology.Node, _ others: [Topology.Node]) throws {
        let tunnel = try node.namespace.handle.makeTunnel(named: Self.device)
        let socket = try node.namespace.inside { try Self.open() }
        try node.namespace.ip([
            "link set \(Self.device) mtu \(1500 - Self.overhead) up",
            // The whole cluster is behind the device; the bridge of the own pods is more specific.
            "addr add \(node.tunnelAddress)/16 dev \(Self.device)",
        ])
        var pair: [Int32] = [-1, -1]
        socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair)
        bells.withLock { $0.append(pair[0]) }
        let forwarder = UDPForwarder(
            tunnel: tunnel,
            socket: socket,
            bell: pair[1],
            peers: Dictionary(
                uniqueKeysWithValues: others.compactMap { other in
                    IPAddress(other.address).map {
                        (UInt8(other.index), SocketAddress($0, Self.port))
                    }
                }
            )
        )
        startThread { forwarder.run() }
    }

    func stop() {
        bells.withLock { list in
            for bell in list { close(bell) }
            list = []
        }
    }

    private static func open() throws -> Int32 {
        let descriptor = socket(
            AF_INET,
            Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue),
            0
        )
        let isBound = IPAddress("0.0.0.0").map {
            SocketAddress($0, port).with { bind(descriptor, $0, $1) } == 0
        }
        guard isBound == true else {
            throw LabError("UDP port \(port): \(String(cString: strerror(errno)))")
        }
        return descriptor
    }
}

/// Carries packets between a TUN device and the other nodes.
private struct UDPForwarder: Sendable {
    let tunnel: Int32
    let socket: Int32
    let bell: Int32
    /// The nodes' addresses by the third byte of their pods' addresses.
    let peers: [UInt8: SocketAddress]

    func run() {
        defer { for descriptor in [tunnel, socket, bell] { close(descriptor) } }
        var entries = [bell, tunnel, socket].map {
            pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
        }
        var packet = [UInt8](repeating: 0, count: 2048)
        while poll(&entries, nfds_t(entries.count), -1) >= 0, entries[0].revents == 0 {
            if entries[1].revents != 0 {
                let count = read(tunnel, &packet, packet.count)
                // Byte 18 of an IPv4 header is the third byte of the destination's address.
                if count >= 20, packet[0] >> 4 == 4, let peer = peers[packet[18]] {
                    _ = peer.with { sendto(socket, packet, count, 0, $0, $1) }
                }
            }
            if entries[2].revents != 0 {
                let count = recv(socket, &packet, packet.count, 0)
                if count > 0 { _ = write(tunnel, packet, count) }
            }
        }
    }
}
