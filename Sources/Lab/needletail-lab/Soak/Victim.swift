internal import EmbeddedAPIServer
internal import Glibc
internal import NetworkTypes
internal import Synchronization
internal import Threads

/// A well-behaved tenant: a Service whose only endpoint moves from port to port.
///
/// Real connections show whether the kernel has been programmed with a change.
final class Victim {
    struct Results {
        /// The times from the API server's answer to the first connection that reaches the new
        /// port.
        var times: [Duration] = []
        /// The number of changes that had no effect within a minute.
        var lost = 0

        var p99: Duration { percentile(99) }

        private func percentile(_ percent: Int) -> Duration {
            guard !times.isEmpty else { return .zero }
            return times.sorted()[(times.count - 1) * percent / 100]
        }

        var text: String {
            "\(times.count) seen, \(lost) lost; p50 \(percentile(50).formattedMilliseconds),"
                + " p99 \(p99.formattedMilliseconds),"
                + " max \((times.max() ?? .zero).formattedMilliseconds)"
        }
    }

    static let clusterIP = "10.96.0.10"
    private static let ports = (0..<8).map { UInt16(8080 + $0) }
    private let node: SoakNode
    private var round = 0
    private var results = Results()

    init(_ node: SoakNode) throws {
        self.node = node
        try Self.answer(node)
        try node.server.apply([
            "kind": "Service", "metadata": ["name": "web", "namespace": "victim"],
            "spec": [
                "clusterIP": .string(Self.clusterIP), "ports": [["name": "http", "port": 80]],
            ],
        ])
    }

    /// Answers each connection to the pod with the number of the port that it arrived on.
    private static func answer(_ node: SoakNode) throws {
        for port in ports {
            let listener = try node.socket(SOCK_STREAM)
            var on: Int32 = 1
            setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, 4)
            guard let address = IPAddress(SoakNode.pod),
                SocketAddress(address, port).with({ bind(listener, $0, $1) }) == 0,
                listen(listener, 512) == 0
            else { throw LabError("port \(port) of the pod: \(String(cString: strerror(errno)))") }
            startThread {
                while true {
                    let connection = accept(listener, nil, nil)
                    guard connection >= 0 else { continue }
                    _ = withUnsafeBytes(of: port) {
                        send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                    }
                    close(connection)
                }
            }
        }
    }

    func waitUntilServed() throws {
        move(to: Self.ports[0])
        guard sees(Self.ports[0], within: .seconds(30)) else {
            throw LabError("needletail does not serve the first Service; see --log")
        }
    }

    /// Moves the endpoint, waits until connections follow, and pauses a little.
    func change() {
        round += 1
        let port = Self.ports[round % Self.ports.count]
        move(to: port)
        let start = ContinuousClock.now
        if sees(port, within: .seconds(60)) {
            results.times.append(.now - start)
        } else {
            results.lost += 1
        }
        usleep(50_000)
    }

    /// The changes since `takeResults` that had no effect.
    var lost: Int { results.lost }

    func takeResults() -> Results {
        defer { results = Results() }
        return results
    }

    private func move(to port: UInt16) {
        _ = try? node.server.apply([
            "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": [
                "name": "web-1", "namespace": "victim",
                "labels": ["kubernetes.io/service-name": "web"],
            ],
            "ports": [["name": "http", "port": .integer(Int64(port))]],
            "endpoints": [["addresses": [.string(SoakNode.pod)]]],
        ])
    }

    private func sees(_ port: UInt16, within limit: Duration) -> Bool {
        let deadline = ContinuousClock.now + limit
        while .now < deadline {
            if answeringPort() == port { return true }
            usleep(500)
        }
        return false
    }

    private func answeringPort() -> UInt16? {
        guard let descriptor = try? node.socket(SOCK_STREAM),
            let address = IPAddress(Self.clusterIP)
        else { return nil }
        defer { close(descriptor) }
        guard SocketAddress(address, 80).with({ connect(descriptor, $0, $1) }) == 0 else {
            return nil
        }
        var port: UInt16 = 0
        return recv(descriptor, &port, 2, Int32(MSG_WAITALL)) == 2 ? port : nil
    }
}
