internal import FoundationEssentials
internal import Glibc
internal import NetworkTypes
internal import Synchronization

/// Asks for the daemon's health, as a kubelet or a load balancer does.
final class HealthProbes: Sendable {
    private final class Counts: Sendable {
        let value = Mutex((answered: 0, unanswered: 0, slowest: Duration.zero))
    }

    private let counts: Counts
    private let repeater: Repeater

    init(_ node: SoakNode) {
        let counts = Counts()
        self.counts = counts
        repeater = Repeater(every: .milliseconds(250)) {
            let start = ContinuousClock.now
            let isAnswered = Self.probe(node)
            let duration = ContinuousClock.now - start
            counts.value.withLock {
                if isAnswered { $0.answered += 1 } else { $0.unanswered += 1 }
                $0.slowest = max($0.slowest, duration)
            }
        }
    }

    var answered: Int { counts.value.withLock(\.answered) }
    var unanswered: Int { counts.value.withLock(\.unanswered) }
    var slowest: Duration { counts.value.withLock(\.slowest) }

    func stop() { repeater.stop() }

    /// Returns whether any HTTP answer arrives within a second.
    private static func probe(_ node: SoakNode) -> Bool {
        guard let descriptor = try? node.socket(SOCK_STREAM),
            let address = IPAddress(SoakNode.address)
        else { return false }
        defer { close(descriptor) }
        guard SocketAddress(address, 10256).with({ connect(descriptor, $0, $1) }) == 0 else {
            return false
        }
        let request = "GET /livez HTTP/1.1\r\nHost: \(SoakNode.address)\r\n\r\n"
        _ = request.withCString { send(descriptor, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
        var answer: [UInt8] = Array(repeating: 0, count: 12)
        return recv(descriptor, &answer, answer.count, 0) > 8
            && answer.starts(with: Array("HTTP/1.1".utf8))
    }
}

/// Records the daemon's resident memory in bytes.
final class MemoryWatch: Sendable {
    private final class Sizes: Sendable {
        let value = Mutex((first: 0, peak: 0, last: 0))
    }

    private let sizes: Sizes
    private let repeater: Repeater

    init(_ node: SoakNode) {
        let sizes = Sizes()
        self.sizes = sizes
        repeater = Repeater(every: .milliseconds(500)) {
            guard let size = ProcessMemory(of: node.child)?.resident else { return }
            sizes.value.withLock {
                if $0.first == 0 { $0.first = size }
                $0.peak = max($0.peak, size)
                $0.last = size
            }
        }
    }

    var first: Int { sizes.value.withLock(\.first) }
    var peak: Int { sizes.value.withLock(\.peak) }
    var last: Int { sizes.value.withLock(\.last) }

    func stop() { repeater.stop() }
}
