internal import Glibc
package import NetworkNamespaces

/// A UDP socket in a namespace.
package final class UDPSocket {
    private let descriptor: Int32

    /// Opens and binds the socket.
    ///
    /// - Parameter host: the address; `::` accepts both families
    package init(_ namespace: NetworkNamespace, _ host: String, port: UInt16) throws {
        descriptor = try namespace.inside {
            let family = host.contains(":") ? AF_INET6 : AF_INET
            return socket(family, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        }
        guard withSocketAddress(host, port, { bind(descriptor, $0, $1) }) == 0 else {
            throw CommandError("cannot bind \(host) port \(port): \(errno)")
        }
    }

    deinit { close(descriptor) }

    /// Whether a datagram to the host reaches the other socket, and its answer comes back.
    ///
    /// Datagrams may be lost, so there are several attempts of one second each.
    package func reaches(_ other: UDPSocket, by host: String, _ port: UInt16) -> Bool {
        let connected = withSocketAddress(host, port) { connect(descriptor, $0, $1) }
        guard connected == 0 else { return false }
        for number in UInt8(0)..<5 {
            var byte = number
            send(descriptor, &byte, 1, 0)
            guard other.answer(number) else { continue }
            if isReadable, recv(descriptor, &byte, 1, 0) == 1, byte == number { return true }
        }
        return false
    }

    /// Whether an ICMP error comes back for a datagram to the host.
    package func isRefused(by host: String, _ port: UInt16) -> Bool {
        let connected = withSocketAddress(host, port) { connect(descriptor, $0, $1) }
        guard connected == 0 else { return false }
        for number in UInt8(0)..<5 {
            var byte = number
            send(descriptor, &byte, 1, 0)
            guard isReadable else { continue }
            return recv(descriptor, &byte, 1, 0) < 0 && errno == ECONNREFUSED
        }
        return false
    }

    private var isReadable: Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 1000) == 1
    }

    /// Sends back the received byte if it is this number.
    private func answer(_ number: UInt8) -> Bool {
        var byte: UInt8 = 0
        var sender = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &sender) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                while isReadable {
                    guard recvfrom(descriptor, &byte, 1, 0, address, &length) == 1 else {
                        return false
                    }
                    guard byte == number else { continue }
                    return sendto(descriptor, &byte, 1, 0, address, length) == 1
                }
                return false
            }
        }
    }
}
