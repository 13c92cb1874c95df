internal import Glibc
package import NetworkNamespaces

/// A plain HTTP client for tests of servers.
package struct HTTPProbe {
    package let status: Int
    package let headers: String
    package let body: String

    /// Sends one request; nil if there is no answer.
    package static func get(
        _ path: String,
        port: UInt16,
        in namespace: NetworkNamespace,
        method: String = "GET",
        host: String = "localhost",
        header: String = "",
        body: String = ""
    ) throws -> HTTPProbe? {
        let extra = header.isEmpty ? "" : header + "\r\n"
        let text =
            "\(method) \(path) HTTP/1.1\r\nHost: \(host)\r\n\(extra)Content-Length: \(body.utf8.count)\r\n\r\n"
            + body
        return try exchange(text, port: port, in: namespace).flatMap(HTTPProbe.init)
    }

    /// Sends any bytes and returns everything that is received.
    package static func exchange(
        _ text: String,
        port: UInt16,
        in namespace: NetworkNamespace? = nil
    ) throws -> String? {
        guard let descriptor = try connected(port: port, in: namespace) else { return nil }
        defer { close(descriptor) }
        var text = text
        text.withUTF8 { _ = send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        var received: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let count = recv(descriptor, &buffer, buffer.count, 0), count > 0 {
            received += buffer[..<count]
        }
        return String(decoding: received, as: UTF8.self)
    }

    /// Returns a connected socket on which every call waits at most one minute.
    package static func connected(
        host: String = "127.0.0.1",
        port: UInt16,
        in namespace: NetworkNamespace? = nil
    ) throws -> Int32? {
        let open = {
            let descriptor = socket(
                AF_INET,
                Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue),
                0
            )
            var limit = timeval(tv_sec: 60, tv_usec: 0)
            setsockopt(
                descriptor,
                SOL_SOCKET,
                SO_RCVTIMEO,
                &limit,
                socklen_t(MemoryLayout<timeval>.size)
            )
            let result = withSocketAddress(host, port) { connect(descriptor, $0, $1) }
            guard result == 0 else {
                close(descriptor)
                return Int32?.none
            }
            return descriptor
        }
        return try namespace.map { try $0.inside(open) } ?? open()
    }

    private init?(_ text: String) {
        guard let end = text.firstRange(of: "\r\n\r\n"),
            let status = Int(text.split(separator: " ").dropFirst().first ?? "")
        else { return nil }
        self.status = status
        headers = String(text[..<end.lowerBound])
        body = String(text[end.upperBound...])
    }
}
