internal import Glibc
internal import NetworkNamespaces
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

/// Opens a socket in a namespace; every call on it waits at most so many seconds.
func openSocket(
    _ type: __socket_type,
    _ domain: Int32,
    in namespace: NetworkNamespace,
    patience: Int
) throws -> Int32 {
    let descriptor = try namespace.inside {
        socket(domain, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), 0)
    }
    guard descriptor >= 0 else { throw LabError("socket: \(String(cString: strerror(errno)))") }
    limitWaiting(on: descriptor, patience)
    return descriptor
}

/// Connects a socket in a namespace; every call on it waits at most so many seconds.
///
/// - Returns: the descriptor, or the code of the error of `connect`
func connectSocket(
    _ type: __socket_type,
    to target: FrontendKey,
    in namespace: NetworkNamespace,
    patience: Int
) throws -> Result<Int32, ConnectFailure> {
    let descriptor = try openSocket(
        type,
        target.address.socketDomain,
        in: namespace,
        patience: patience
    )
    let connected = SocketAddress(target.address, target.port).with { connect(descriptor, $0, $1) }
    guard connected != 0 else { return .success(descriptor) }
    let code = errno
    close(descriptor)
    return .failure(ConnectFailure(code: code))
}

struct ConnectFailure: Error {
    /// An `errno` value.
    let code: Int32
}

/// Limits the time of each call on a socket, in seconds.
func limitWaiting(on descriptor: Int32, _ seconds: Int) {
    var limit = timeval(tv_sec: seconds, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
        setsockopt(descriptor, SOL_SOCKET, option, &limit, size)
    }
}

extension FrontendKey {
    /// Makes a key of an address that is written in the lab's own code.
    init(_ address: String, _ transport: TransportProtocol, _ port: UInt16) throws {
        guard let address = IPAddress(address) else { throw LabError("\(address) is no address") }
        self.init(address, transport, port)
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
