internal import Dispatch
internal import Glibc
internal import NetworkTypes
internal import Threads

/// Answers HTTP and datagrams in a pod's namespace, with the pod's name and the client's address,
/// and sends back large transfers on a port of their own.
///
/// If another server names the client that it has asked for (`X-Forwarded-For`), the answer over
/// HTTP has that as a third word.
///
/// The sockets live in the namespace; this process serves them all.
// SAFETY: `sources` is set only in the initializer, and cancelling a source is thread-safe.
final class PodServer: @unchecked Sendable {
    private var sources: [any DispatchSourceRead] = []

    init(_ pod: Topology.Pod) throws {
        let queue = DispatchQueue(label: "lab.pod.\(pod.name)")
        for address in ["0.0.0.0", "::"].compactMap({ IPAddress($0) }) {
            let listener = try Self.open(pod, address, ServiceObjects.podPort, SOCK_STREAM)
            serve(listener, queue) { Self.acceptRequest(listener, pod.name) }
            let bulk = try Self.open(pod, address, ServiceObjects.podBulkPort, SOCK_STREAM)
            serve(bulk, queue) { Self.acceptTransfer(bulk) }
            let datagrams = try Self.open(pod, address, ServiceObjects.podUDPPort, SOCK_DGRAM)
            serve(datagrams, queue) { Self.answerDatagram(datagrams, pod.name) }
        }
    }

    func stop() { for source in sources { source.cancel() } }

    private static func open(
        _ pod: Topology.Pod,
        _ address: IPAddress,
        _ port: UInt16,
        _ type: __socket_type
    ) throws -> Int32 {
        try pod.namespace.inside {
            let descriptor = socket(
                address.socketDomain,
                Int32(type.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue),
                0
            )
            var on: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
            if address.family == .ipv6 {
                setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &on, 4)
            }
            let bound = SocketAddress(address, port).with { bind(descriptor, $0, $1) }
            guard bound == 0, type == SOCK_DGRAM || listen(descriptor, 512) == 0 else {
                throw LabError(
                    "pod \(pod.name) cannot listen on \(port): \(String(cString: strerror(errno)))"
                )
            }
            return descriptor
        }
    }

    private func serve(
        _ descriptor: Int32,
        _ queue: DispatchQueue,
        _ answer: @escaping @Sendable () -> Bool
    ) {
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler { while answer() {} }
        source.setCancelHandler { close(descriptor) }
        source.activate()
        sources.append(source)
    }

    /// Accepts a connection, on which a thread answers one request.
    private static func acceptRequest(_ listener: Int32, _ name: String) -> Bool {
        var peer = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let connection = withUnsafeMutablePointer(to: &peer) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { accept(listener, $0, &length) }
        }
        guard connection >= 0 else { return false }
        let seen = peerAddress(peer)
        startThread {
            defer { close(connection) }
            limitWaiting(on: connection, Transfer.patience)
            var request = HTTPMessage()
            while request.head == nil { guard request.receive(connection) else { return } }
            let words = [name, seen] + [request.header("x-forwarded-for")].compactMap(\.self)
            let body = words.joined(separator: " ") + "\n"
            let lines = [
                "HTTP/1.0 200 OK", "Content-Type: text/plain",
                "Content-Length: \(body.utf8.count)", "", body,
            ]
            _ = Transfer.send(connection, Array(lines.joined(separator: "\r\n").utf8))
        }
        return true
    }

    /// Accepts a connection, whose bytes a thread sends back once the client has sent all.
    private static func acceptTransfer(_ listener: Int32) -> Bool {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return false }
        startThread {
            defer { close(connection) }
            limitWaiting(on: connection, Transfer.patience)
            guard let bytes = Transfer.receive(connection) else { return }
            _ = Transfer.send(connection, bytes)
        }
        return true
    }

    private static func answerDatagram(_ descriptor: Int32, _ name: String) -> Bool {
        var peer = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var question: [UInt8] = Array(repeating: 0, count: 512)
        return withUnsafeMutablePointer(to: &peer) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                guard recvfrom(descriptor, &question, question.count, 0, address, &length) >= 0
                else { return false }
                let answer = "\(name) \(peerAddress(storage.pointee))\n"
                _ = answer.withCString { sendto(descriptor, $0, strlen($0), 0, address, length) }
                return true
            }
        }
    }
}
