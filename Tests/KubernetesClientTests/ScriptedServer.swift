import Dispatch
import Glibc
import Synchronization
import Testing

/// An HTTP server on loopback that answers one request after the other as a test wrote down.
final class ScriptedServer: Sendable {
    enum Answer: Sendable {
        case json(String)
        /// A chunked body that ends cleanly.
        case chunks([String])
        case status(Int, String)
        /// The connection is closed without an answer.
        case drop
    }

    let port: UInt16
    private let listener: Int32
    private let seen = Mutex<[String]>([])

    var requests: [String] { seen.withLock { $0 } }

    init(_ answers: [Answer]) throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (listener, size) = (listener, length)
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, size) }
        }
        try #require(bound == 0 && listen(listener, 16) == 0)
        withUnsafeMutablePointer(to: &address) {
            _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                getsockname(listener, $0, &length)
            }
        }
        port = UInt16(bigEndian: address.sin_port)
        DispatchQueue(label: "test.server").async { [self] in serve(answers) }
    }

    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    private func serve(_ answers: [Answer]) {
        defer { close(listener) }
        var rest = answers[...]
        while true {
            let connection = accept(listener, nil, nil)
            guard connection >= 0 else { return }
            var request = [UInt8](repeating: 0, count: 8192)
            let count = recv(connection, &request, request.count, 0)
            let line = String(
                decoding: request.prefix(max(0, count)).prefix { $0 != UInt8(ascii: "\r") },
                as: UTF8.self
            )
            seen.withLock { $0.append(line) }
            // After the script the server hangs up on everybody.
            let text = Self.text(rest.popFirst() ?? .drop)
            _ = text.withCString { send(connection, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
            close(connection)
        }
    }

    private static func text(_ answer: Answer) -> String {
        switch answer {
        case .json(let body):
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        case .chunks(let chunks):
            "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                + chunks.map { "\(String($0.utf8.count, radix: 16))\r\n\($0)\r\n" }.joined()
                + "0\r\n\r\n"
        case .status(let code, let body):
            "HTTP/1.1 \(code) No\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        case .drop: ""
        }
    }
}
