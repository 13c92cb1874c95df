internal import Glibc
internal import NetworkTypes

/// An address and a port in the form of the socket calls.
struct SocketAddress {
    private var storage = sockaddr_storage()
    private var length = socklen_t(MemoryLayout<sockaddr_storage>.size)

    /// Makes an empty value for a call to fill in.
    init() {}

    init(_ address: IPAddress, _ port: UInt16) {
        let bytes = address.networkOrderBytes
        withUnsafeMutableBytes(of: &storage) { raw in
            if address.family == .ipv6 {
                var value = sockaddr_in6()
                value.sin6_family = sa_family_t(AF_INET6)
                value.sin6_port = port.bigEndian
                withUnsafeMutableBytes(of: &value.sin6_addr) { $0.copyBytes(from: bytes) }
                raw.storeBytes(of: value, as: sockaddr_in6.self)
            } else {
                var value = sockaddr_in()
                value.sin_family = sa_family_t(AF_INET)
                value.sin_port = port.bigEndian
                withUnsafeMutableBytes(of: &value.sin_addr) { $0.copyBytes(from: bytes) }
                raw.storeBytes(of: value, as: sockaddr_in.self)
            }
        }
        length = socklen_t(
            address.family == .ipv6
                ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
        )
    }

    func pass<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    mutating func fill<Result>(
        _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Result
    ) -> Result {
        withUnsafeMutablePointer(to: &storage) { storage in
            withUnsafeMutablePointer(to: &length) { length in
                storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
            }
        }
    }

    /// The address and port; nil for an address of another family.
    var value: (address: IPAddress, port: UInt16)? {
        withUnsafeBytes(of: storage) { raw in
            switch Int32(storage.ss_family) {
            case AF_INET:
                let address = raw.loadUnaligned(as: sockaddr_in.self)
                return IPAddress(networkOrder: raw[4..<8]).map {
                    ($0, UInt16(bigEndian: address.sin_port))
                }
            case AF_INET6:
                let address = raw.loadUnaligned(as: sockaddr_in6.self)
                return IPAddress(networkOrder: raw[8..<24]).map {
                    ($0, UInt16(bigEndian: address.sin6_port))
                }
            default: return nil
            }
        }
    }
}

extension TransportProtocol {
    /// Opens a non-blocking socket; a negative result is an error, and `errno` says which.
    func socket(_ family: IPFamily) -> Int32 {
        let type = self == .udp ? SOCK_DGRAM : SOCK_STREAM
        return Glibc.socket(
            family == .ipv4 ? AF_INET : AF_INET6,
            Int32(type.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue),
            0
        )
    }
}

/// Sets an integer option of a socket.
func set(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32 = 1) {
    var value = value
    setsockopt(descriptor, level, option, &value, 4)
}
