internal import Glibc
internal import NetworkTypes

/// A socket address of either family.
struct SocketAddress {
    private var storage = sockaddr_storage()
    private let length: socklen_t

    init(_ address: IPAddress, _ port: UInt16) {
        let bytes = address.networkOrderBytes
        if address.family == .ipv4 {
            var ipv4 = sockaddr_in()
            ipv4.sin_family = sa_family_t(AF_INET)
            ipv4.sin_port = port.bigEndian
            withUnsafeMutableBytes(of: &ipv4.sin_addr) { $0.copyBytes(from: bytes) }
            length = Self.store(ipv4, in: &storage)
        } else {
            var ipv6 = sockaddr_in6()
            ipv6.sin6_family = sa_family_t(AF_INET6)
            ipv6.sin6_port = port.bigEndian
            withUnsafeMutableBytes(of: &ipv6.sin6_addr) { $0.copyBytes(from: bytes) }
            length = Self.store(ipv6, in: &storage)
        }
    }

    /// Stores an address structure of one family, and returns its length.
    private static func store<Form>(
        _ form: Form,
        in storage: inout sockaddr_storage
    ) -> socklen_t {
        withUnsafeMutableBytes(of: &storage) { target in
            withUnsafeBytes(of: form) { target.copyMemory(from: $0) }
        }
        return socklen_t(MemoryLayout<Form>.size)
    }

    /// Calls the closure with the pointer and length that socket functions take.
    func with<T>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
        withUnsafePointer(to: storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}

extension IPAddress {
    /// The address family for socket calls.
    var socketDomain: Int32 { family == .ipv4 ? AF_INET : AF_INET6 }
}

/// Returns the address of a connection's peer as text.
func peerAddress(_ storage: sockaddr_storage) -> String {
    withUnsafeBytes(of: storage) { bytes in
        let range = storage.ss_family == sa_family_t(AF_INET) ? 4..<8 : 8..<24
        return IPAddress(networkOrder: bytes[range]).map(\.description) ?? "?"
    }
}
