import Glibc
import NetworkTypes

/// Calls the body with an address as the socket calls want it.
func withAddress(
    _ address: IPAddress,
    _ port: UInt16,
    _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
) -> Int32 {
    var storage = sockaddr_in6()
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    storage.sin6_family = sa_family_t(AF_INET6)
    storage.sin6_port = port.bigEndian
    withUnsafeMutableBytes(of: &storage) { bytes in
        guard address.family == .ipv4 else {
            return bytes[8..<24].copyBytes(from: address.networkOrderBytes)
        }
        bytes.storeBytes(of: sa_family_t(AF_INET), as: sa_family_t.self)
        bytes[4..<8].copyBytes(from: address.networkOrderBytes)
        length = socklen_t(MemoryLayout<sockaddr_in>.size)
    }
    return withUnsafePointer(to: &storage) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
    }
}
