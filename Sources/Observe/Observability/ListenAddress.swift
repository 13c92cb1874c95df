internal import Glibc
package import NetworkTypes

/// An address and port to listen on, such as `127.0.0.1:10249` or `[::]:10256`.
package struct ListenAddress: Sendable, Hashable, CustomStringConvertible {
    package let address: IPAddress
    package let port: UInt16

    package init(_ address: IPAddress, _ port: UInt16) {
        (self.address, self.port) = (address, port)
    }

    /// Parses an address with a port; nil if the text is not one.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"),
            let port = UInt16(text[text.index(after: colon)...])
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard let address = IPAddress(String(host)) else { return nil }
        self.init(address, port)
    }

    package var description: String { AddressAndPort(address, port).description }
}

/// The reason why listening on an address failed.
package struct ListenError: Error, CustomStringConvertible {
    let address: ListenAddress
    let code: Int32

    package var description: String {
        let advice =
            switch code {
            case EADDRINUSE: "; another program listens there (ss -ltnp tells which)"
            case EADDRNOTAVAIL: "; no interface of this node has the address"
            case EACCES: "; ports below 1024 need the capability NET_BIND_SERVICE"
            case EMFILE, ENFILE:
                "; raise the limit of open files (of the container, or of the system: fs.file-max)"
            default: ""
            }
        return "cannot listen on \(address): \(String(cString: strerror(code)))\(advice)"
    }
}

extension ListenAddress {
    /// Opens a non-blocking listening socket.
    func open() throws(ListenError) -> Int32 {
        let isIPv6 = address.family == .ipv6
        let flags = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(isIPv6 ? AF_INET6 : AF_INET, flags, 0)
        guard descriptor >= 0 else { throw ListenError(address: self, code: errno) }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        // Each family has its own sockets.
        if isIPv6 { setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &on, 4) }
        guard withSocketAddress({ bind(descriptor, $0, $1) }) == 0, listen(descriptor, 4096) == 0
        else {
            let code = errno
            close(descriptor)
            throw ListenError(address: self, code: code)
        }
        return descriptor
    }

    private func withSocketAddress<T>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> T
    ) -> T {
        let bytes = address.networkOrderBytes
        func pass<Address>(_ value: Address) -> T {
            withUnsafePointer(to: value) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<Address>.size))
                }
            }
        }
        if address.family == .ipv6 {
            var value = sockaddr_in6()
            value.sin6_family = sa_family_t(AF_INET6)
            value.sin6_port = port.bigEndian
            withUnsafeMutableBytes(of: &value.sin6_addr) { $0.copyBytes(from: bytes) }
            return pass(value)
        }
        var value = sockaddr_in()
        value.sin_family = sa_family_t(AF_INET)
        value.sin_port = port.bigEndian
        withUnsafeMutableBytes(of: &value.sin_addr) { $0.copyBytes(from: bytes) }
        return pass(value)
    }
}
