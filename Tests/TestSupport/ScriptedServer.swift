internal import Dispatch
internal import Glibc
internal import Synchronization

/// An HTTP server on loopback that answers as a test wrote down.
package final class ScriptedServer: Sendable {
    package enum Answer: Sendable {
        case json(String)
        /// A chunked body that ends cleanly.
        case chunks([String])
        case status(Int, String, retryAfter: Int = 0)
        /// The connection is closed without an answer.
        case drop
    }

    package let port: UInt16
    private let listener: Int32
    private let answer: @Sendable (String) -> Answer
    private let seen = Mutex<[String]>([])

    /// The request lines so far.
    package var requests: [String] { seen.withLock { $0 } }

    /// Answers one request after the other, and then hangs up on everybody.
    package convenience init(_ answers: [Answer]) {
        let rest = Mutex(answers[...])
        self.init { _ in rest.withLock { $0.popFirst() } ?? .drop }
    }

    /// Answers by request line, each connection on its own.
    ///
    /// It listens in the network namespace of this thread.
    package init(_ answer: @escaping @Sendable (String) -> Answer) {
        self.answer = answer
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
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

    /// Begins to answer.
    ///
    /// Not in the initializer, which may run inside of a network namespace: a thread that is started
    /// there stays there.
    package func start() {
        DispatchQueue(label: "test.server").async { [self] in
            defer { close(listener) }
            while case let connection = accept(listener, nil, nil), connection >= 0 {
                DispatchQueue(label: "test.connection").async { self.serve(connection) }
            }
        }
    }

    package func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    private func serve(_ connection: Int32) {
        defer { close(connection) }
        var request = [UInt8](repeating: 0, count: 8192)
        let count = recv(connection, &request, request.count, 0)
        let line = String(
            decoding: request.prefix(max(0, count)).prefix { $0 != UInt8(ascii: "\r") },
            as: UTF8.self
        )
        seen.withLock { $0.append(line) }
        let text = Self.text(answer(line))
        _ = text.withCString { send(connection, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
    }

    private static func text(_ answer: Answer) -> String {
        switch answer {
        case .json(let body):
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        case .chunks(let chunks):
            "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                + chunks.map { "\(String($0.utf8.count, radix: 16))\r\n\($0)\r\n" }.joined()
                + "0\r\n\r\n"
        case .status(let code, let body, let pause):
            "HTTP/1.1 \(code) No\r\nConnection: close\r\nRetry-After: \(pause)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        case .drop: ""
        }
    }
}
