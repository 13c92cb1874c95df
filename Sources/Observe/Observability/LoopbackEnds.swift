internal import Glibc
internal import NetworkTypes

/// Returns whether both ends of a connection are loopback addresses.
///
/// Both are needed: with `route_localnet`, which kube-proxy sets in mode iptables, neighbours reach
/// 127.0.0.1 with addresses of their own (CVE-2020-8558).
func isOnLoopback(_ descriptor: Int32) -> Bool {
    end(of: descriptor, getsockname)?.isLoopback == true
        && end(of: descriptor, getpeername)?.isLoopback == true
}

private typealias AskForEnd = (
    Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>
) -> Int32

private func end(of descriptor: Int32, _ ask: AskForEnd) -> IPAddress? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = withUnsafeMutablePointer(to: &storage) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { ask(descriptor, $0, &length) }
    }
    guard result == 0 else { return nil }
    return withUnsafeBytes(of: storage) { bytes in
        switch Int32(storage.ss_family) {
        // The address is behind the family and the port; in IPv6 the flow comes between them.
        case AF_INET: IPAddress(networkOrder: bytes[4..<8])
        case AF_INET6: IPAddress(networkOrder: bytes[8..<24])
        default: nil
        }
    }
}
