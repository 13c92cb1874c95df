internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes

/// A packet at one hop of its way.
struct Sighting {
    /// Nanoseconds since 1970.
    let time: Int64
    let place: String
    let interface: String
    let isOutgoing: Bool
    let packet: SeenPacket
    let bytes: [UInt8]
}

/// Packet sockets in all namespaces of the lab.
struct Capture: ~Copyable {
    private let sockets: [(place: LiveTopology.Place, descriptor: Int32)]

    init(_ places: [LiveTopology.Place]) throws {
        var sockets: [(place: LiveTopology.Place, descriptor: Int32)] = []
        for place in places {
            let descriptor = try place.namespace.inside {
                socket(
                    AF_PACKET,
                    Int32(
                        SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
                    ),
                    Int32(UInt16(Self.everyProtocol).bigEndian)
                )
            }
            guard descriptor >= 0 else {
                for socket in sockets { close(socket.descriptor) }
                throw LabError(
                    "packet socket in \(place.name): \(String(cString: strerror(errno)))"
                )
            }
            // The kernel notes the times of packets from the first question on.
            _ = Self.time(descriptor)
            sockets.append((place, descriptor))
        }
        // It does so in a work item a moment later (`net_enable_timestamp`), and does not tell.
        usleep(50_000)
        self.sockets = sockets
    }

    deinit { for socket in sockets { close(socket.descriptor) } }

    /// `ETH_P_ALL` and `PACKET_OUTGOING` of `linux/if_ether.h` and `linux/if_packet.h`.
    private static let everyProtocol = 3
    private static let outgoing: UInt8 = 4

    /// Returns what has been seen of connections so far, in the order of time.
    func sightings() throws -> [Sighting] {
        var found: [Sighting] = []
        for (place, descriptor) in sockets {
            var names: [Int32: String] = [:]
            while let (bytes, index, kind, time) = Self.receive(descriptor) {
                guard let packet = SeenPacket(bytes[...]) else { continue }
                let name = try names[index] ?? Self.name(index, in: place.namespace)
                names[index] = name
                found.append(
                    Sighting(
                        time: time,
                        place: place.name,
                        interface: name,
                        isOutgoing: kind == Self.outgoing,
                        packet: packet,
                        bytes: bytes
                    )
                )
            }
        }
        return found.sorted { $0.time < $1.time }
    }

    private static func name(_ index: Int32, in namespace: Namespace) throws -> String {
        try namespace.inside {
            var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
            guard if_indextoname(UInt32(index), &name) != nil else { return "\(index)" }
            return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
        }
    }

    private static func receive(
        _ descriptor: Int32
    ) -> (bytes: [UInt8], interface: Int32, kind: UInt8, time: Int64)? {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        // struct sockaddr_ll: family, protocol, interface, hardware type, packet type, …
        var address = [UInt8](repeating: 0, count: 20)
        var length = socklen_t(address.count)
        let count = address.withUnsafeMutableBytes { address in
            recvfrom(
                descriptor,
                &buffer,
                buffer.count,
                0,
                address.baseAddress?.assumingMemoryBound(to: sockaddr.self),
                &length
            )
        }
        guard count >= 0 else { return nil }
        let index = address.withUnsafeBytes {
            $0.loadUnaligned(fromByteOffset: 4, as: Int32.self)
        }
        return (
            Array(buffer[..<count]), index, address[10], time(descriptor)
        )
    }

    /// When the kernel has seen the packet that was received last (`SIOCGSTAMPNS`).
    private static func time(_ descriptor: Int32) -> Int64 {
        var time = timespec()
        guard ioctl(descriptor, UInt(0x8907), &time) == 0 else { return 0 }
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
