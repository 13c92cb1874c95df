internal import Glibc
internal import Synchronization
internal import Threads

/// An HTTP server on loopback whose answers a test defines.
package final class ScriptedServer: Sendable {
    package enum Answer: Sendable {
        case json(String)
        /// A body that ends cleanly.
        case body([UInt8], type: String, encoding: String = "identity")
        /// A chunked body that ends cleanly.
        case chunks([String])
        case status(Int, String, retryAfter: Int = 0)
        case refusal(Int, [UInt8], type: String, retryAfter: Int)
        /// The connection is closed without an answer.
        case drop
    }

    package let port: UInt16
    private let listener: Int32
    /// Whether the listener's number is not yet another socket's.
    private let isOpen = Mutex(true)
    private let answer: @Sendable (String) -> Answer
    private let seen = Mutex<[String]>([])
    private let sizes = Mutex<(received: [Int], answered: [Int])>(([], []))
    private let arrivals: AsyncStream<Void>
    private let arrived: AsyncStream<Void>.Continuation

    /// The request lines so far.
    package var requests: [String] { seen.withLock { $0 } }

    /// The bytes of the requests so far, and those of their answers.
    package var received: [Int] { sizes.withLock(\.received) }
    package var answered: [Int] { sizes.withLock(\.answered) }

    /// Returns all request lines as soon as there are at least this many.
    package func requests(count: Int) async -> [String] {
        for await _ in arrivals where requests.count >= count { break }
        return requests
    }

    /// Makes a server that answers one request after the other, and then closes all connections.
    package convenience init(_ answers: [Answer]) {
        let rest = Mutex(answers[...])
        self.init { _ in rest.withLock { $0.popFirst() } ?? .drop }
    }

    /// Makes a server that answers by request line, with each connection on its own.
    ///
    /// It listens in the network namespace of this thread; port 0 takes any free one.
    package init(port wanted: UInt16 = 0, _ answer: @escaping @Sendable (String) -> Answer) {
        self.answer = answer
        (arrivals, arrived) = AsyncStream.makeStream()
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        address.sin_port = wanted.bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (listener, size) = (listener, length)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, size) }
        }
        precondition(bound == 0 && listen(listener, 16) == 0, "no port on loopback")
        withUnsafeMutablePointer(to: &address) {
            _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(listener, $0, &length)
            }
        }
        port = UInt16(bigEndian: address.sin_port)
    }

    /// Starts to answer.
    ///
    /// The initializer does not do this, because it may run inside a network namespace, where a
    /// started thread would stay.
    package func start() {
        startThread { [self] in
            defer { close() }
            while case let connection = accept(listener, nil, nil), connection >= 0 {
                startThread { self.serve(connection) }
            }
        }
    }

    /// Frees the port of a server that was never started.
    package func close() {
        isOpen.withLock {
            if $0 { Glibc.close(listener) }
            $0 = false
        }
    }

    /// Stops listening; it may be called twice.
    package func stop() { isOpen.withLock { if $0 { shutdown(listener, Int32(SHUT_RDWR)) } } }

    private func serve(_ connection: Int32) {
        defer { Glibc.close(connection) }
        var size: Int32 = 4 << 20
        setsockopt(connection, SOL_SOCKET, SO_SNDBUF, &size, 4)
        var request = [UInt8](repeating: 0, count: 8192)
        let count = recv(connection, &request, request.count, 0)
        let line = String(
            decoding: request.prefix(max(0, count)).prefix { $0 != UInt8(ascii: "\r") },
            as: UTF8.self
        )
        seen.withLock { $0.append(line) }
        arrived.yield()
        let bytes = Self.bytes(answer(line))
        sizes.withLock {
            $0.received.append(max(0, count))
            $0.answered.append(bytes.count)
        }
        _ = bytes.withUnsafeBytes {
            send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
    }

    private static func bytes(_ answer: Answer) -> [UInt8] {
        switch answer {
        case .json(let body): bytes(.body(Array(body.utf8), type: "application/json"))
        case .body(let body, let type, let encoding):
            Array(
                """
                HTTP/1.1 200 OK\r
                Connection: close\r
                Content-Type: \(type)\r
                Content-Encoding: \(encoding)\r
                Content-Length: \(body.count)\r
                \r

                """.utf8
            ) + body
        case .chunks(let chunks):
            Array(
                ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n"
                    + chunks.map { "\(String($0.utf8.count, radix: 16))\r\n\($0)\r\n" }.joined()
                    + "0\r\n\r\n").utf8
            )
        case .status(let code, let body, let pause):
            bytes(.refusal(code, Array(body.utf8), type: "text/plain", retryAfter: pause))
        case .refusal(let code, let body, let type, let pause):
            Array(
                """
                HTTP/1.1 \(code) No\r
                Connection: close\r
                Retry-After: \(pause)\r
                Content-Type: \(type)\r
                Content-Length: \(body.count)\r
                \r

                """.utf8
            ) + body
        case .drop: []
        }
    }
}
