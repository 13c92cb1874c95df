internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes

/// A client, a node and a pod in namespaces of their own, in a row: every packet passes the node.
///
/// One thread plays both ends. What it sends is carried to the other end before the call returns,
/// in the kernel's softirq, so that no other process takes part in a connection. The pod has every
/// address of `endpointCIDR`, the client those of `podCIDR` and `outsideCIDR`.
final class ConnectionPath: Sendable {
    static let nodeAddress = "192.0.2.1"
    static let serviceCIDR = "10.96.0.0/12"
    /// The block of all pods' addresses, those of clients and of endpoints.
    static let clusterCIDR = "10.128.0.0/9"
    static let podCIDR = "10.192.0.0/14"
    static let outsideCIDR = "20.0.0.0/8"
    static let endpointCIDR = "10.160.0.0/12"
    static let endpointPort: UInt16 = 8080

    let node: NetworkNamespace
    private let client: NetworkNamespace
    private let listener: Int32

    init() throws {
        node = try NetworkNamespace()
        client = try NetworkNamespace()
        let pod = try NetworkNamespace()
        for namespace in [node, client, pod] {
            for scope in ["all", "default"] {
                try namespace.setSysctl("net/ipv4/conf/\(scope)/rp_filter", "0")
                try namespace.setSysctl("net/ipv6/conf/\(scope)/disable_ipv6", "1")
            }
            try namespace.ip(["link set lo up"])
        }
        try node.setSysctl("net/ipv4/ip_forward", "1")
        try node.addPair("client", to: client, as: "eth0")
        try node.addPair("pod", to: pod, as: "eth0")
        try node.ip([
            "addr add \(Self.nodeAddress)/24 dev client", "link set client up",
            "addr add 198.51.100.1/24 dev pod", "link set pod up",
        ])
        try client.ip([
            "addr add 192.0.2.2/24 dev eth0", "link set eth0 up",
            "route add default via \(Self.nodeAddress)",
            "route add local \(Self.podCIDR) dev lo", "route add local \(Self.outsideCIDR) dev lo",
        ])
        try pod.ip([
            "addr add 198.51.100.2/24 dev eth0", "link set eth0 up",
            "route add default via 198.51.100.1", "route add local \(Self.endpointCIDR) dev lo",
        ])
        try node.ip([
            "route add \(Self.podCIDR) via 192.0.2.2",
            "route add \(Self.outsideCIDR) via 192.0.2.2",
            "route add \(Self.endpointCIDR) via 198.51.100.2",
        ])
        listener = try pod.inside { try Self.stream() }
        let anyAddress = SocketAddress(IPAddress(ipv4: 0), Self.endpointPort)
        guard anyAddress.with({ bind(listener, $0, $1) }) == 0, listen(listener, 4096) == 0 else {
            throw Self.failure("listening as the pod")
        }
    }

    deinit { close(listener) }

    /// Connects so many times, each time from the next of the sources, and returns how long each
    /// took until the connection was established, in nanoseconds.
    ///
    /// The pod's end closes with a reset, which leaves no port in TIME_WAIT.
    func connect(_ count: Int, to target: ConnectionTarget) throws -> [Int] {
        try client.inside {
            try withRealTimePriority {
                try (0..<count).map { _ in
                    let connection = try open(target)
                    Self.reset(connection)
                    return connection.time
                }
            }
        }
    }

    /// Opens a connection that stays.
    func flow(to target: ConnectionTarget) throws -> EstablishedFlow {
        try EstablishedFlow(client.inside { try open(target) })
    }

    struct Connection {
        /// The descriptors of both ends.
        let client, pod: Int32
        /// The nanoseconds from the call of `connect` until the handshake was over.
        let time: Int
    }

    private func open(_ target: ConnectionTarget) throws -> Connection {
        let descriptor = try Self.stream()
        var isTaken = false
        defer { if !isTaken { close(descriptor) } }
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, &on, 4)
        let source = SocketAddress(target.sources.next(), 0)
        guard source.with({ bind(descriptor, $0, $1) }) == 0 else {
            throw Self.failure("binding the client's address")
        }
        let begin = monotonicTime()
        let code = target.address.with { Glibc.connect(descriptor, $0, $1) }
        guard code == 0 || errno == EINPROGRESS else { throw Self.failure("connecting") }
        try Self.wait(for: descriptor, POLLOUT)
        let end = monotonicTime()
        try Self.wait(for: listener, POLLIN)
        let pod = accept(listener, nil, nil)
        guard pod >= 0 else { throw Self.failure("accepting as the pod") }
        isTaken = true
        return Connection(client: descriptor, pod: pod, time: end - begin)
    }

    private static func reset(_ connection: Connection) {
        var now = linger(l_onoff: 1, l_linger: 0)
        let size = socklen_t(MemoryLayout<linger>.size)
        setsockopt(connection.pod, SOL_SOCKET, SO_LINGER, &now, size)
        close(connection.pod)
        close(connection.client)
    }

    private static func stream() throws -> Int32 {
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = socket(AF_INET, Int32(kind), 0)
        guard descriptor >= 0 else { throw failure("socket") }
        return descriptor
    }

    private static func wait(for descriptor: Int32, _ event: Int32) throws {
        var waiting = pollfd(fd: descriptor, events: Int16(event), revents: 0)
        guard poll(&waiting, 1, 3000) == 1, waiting.revents == Int16(event) else {
            throw LabError("a connection is not established within three seconds")
        }
    }

    private static func failure(_ what: String) -> LabError {
        LabError("\(what): \(String(cString: strerror(errno)))")
    }
}

/// A connection whose ends answer each other.
final class EstablishedFlow {
    private let connection: ConnectionPath.Connection

    init(_ connection: ConnectionPath.Connection) throws {
        self.connection = connection
        var on: Int32 = 1
        for end in [connection.client, connection.pod] {
            setsockopt(end, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
            limitWaiting(on: end, 3)
        }
        // The client's end does not block yet.
        let flags = fcntl(connection.client, F_GETFL)
        guard fcntl(connection.client, F_SETFL, flags & ~O_NONBLOCK) == 0 else {
            throw LabError("fcntl: \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        close(connection.client)
        close(connection.pod)
    }

    /// Sends a byte there and one back so many times, and returns the nanoseconds of one time.
    func exchange(_ count: Int) throws -> Int {
        try withRealTimePriority {
            let begin = monotonicTime()
            for _ in 0..<count {
                try Self.carry(from: connection.client, to: connection.pod)
                try Self.carry(from: connection.pod, to: connection.client)
            }
            return (monotonicTime() - begin) / count
        }
    }

    private static func carry(from sender: Int32, to receiver: Int32) throws {
        var byte: UInt8 = 0
        guard send(sender, &byte, 1, Int32(MSG_NOSIGNAL)) == 1,
            recv(receiver, &byte, 1, 0) == 1
        else { throw LabError("an established connection: \(String(cString: strerror(errno)))") }
    }
}

/// Where connections go, and from which addresses.
final class ConnectionTarget {
    let address: SocketAddress
    let sources: SourceAddresses

    init(_ address: IPAddress, _ port: UInt16, from sources: SourceAddresses) {
        self.address = SocketAddress(address, port)
        self.sources = sources
    }
}

/// Source addresses, taken in turn, with a stride that leaves none out.
final class SourceAddresses {
    private let first: UInt32
    private let step: UInt32
    private let count: Int
    private var index = 0

    /// - Parameter step: the distance of two neighbours
    init(_ first: UInt32, step: UInt32 = 1, count: Int = 1) {
        (self.first, self.step, self.count) = (first, step, count)
    }

    func next() -> IPAddress {
        defer { index = (index + 7919) % count }
        return IPAddress(ipv4: first + UInt32(index) * step)
    }
}

/// Nanoseconds of a clock that nobody sets.
func monotonicTime() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Runs the closure with a real-time priority, if this process may have one: other programs'
/// threads then do not come between.
///
/// The closure must be short, since the kernel takes a twentieth of each second from such threads.
func withRealTimePriority<T>(_ body: () throws -> T) rethrows -> T {
    let previous = sched_getscheduler(0)
    guard previous != SCHED_FIFO else { return try body() }
    var priority = sched_param(sched_priority: 1)
    sched_setscheduler(0, SCHED_FIFO, &priority)
    defer {
        priority.sched_priority = 0
        sched_setscheduler(0, previous, &priority)
    }
    return try body()
}
