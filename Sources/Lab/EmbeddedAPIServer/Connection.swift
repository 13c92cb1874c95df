internal import Glibc

/// The client has closed the connection, or does not read from it.
struct ConnectionLost: Error {}

/// One HTTP/1.1 connection, with blocking calls.
struct Connection {
    let descriptor: Int32
    private var received: [UInt8] = []
    private static let headLimit = 64 << 10
    private static let bodyLimit = 16 << 20

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(
            descriptor,
            SOL_SOCKET,
            SO_SNDTIMEO,
            &limit,
            socklen_t(MemoryLayout<timeval>.size)
        )
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
    }

    /// Waits for the next request; nil when the client has finished.
    mutating func nextRequest() throws -> ServerRequest? {
        let blankLine = Array("\r\n\r\n".utf8)
        while received.firstRange(of: blankLine) == nil {
            guard received.count < Self.headLimit else { throw ConnectionLost() }
            guard try receiveMore() else { return nil }
        }
        guard let end = received.firstRange(of: blankLine),
            var request = ServerRequest(
                head: String(decoding: received[..<end.lowerBound], as: UTF8.self)
            )
        else { throw ConnectionLost() }
        received.removeFirst(end.upperBound)
        let length = Int(request.headers["content-length"] ?? "0") ?? -1
        guard (0...Self.bodyLimit).contains(length) else { throw ConnectionLost() }
        while received.count < length {
            guard try receiveMore() else { throw ConnectionLost() }
        }
        request.body = Array(received.prefix(length))
        received.removeFirst(length)
        return request
    }

    private mutating func receiveMore() throws -> Bool {
        var count = -1
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 1) { buffer in
            count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if count > 0 { received += buffer[..<count] }
        }
        guard count >= 0 else { throw ConnectionLost() }
        return count > 0
    }

    func send(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw ConnectionLost() }
            rest = rest.dropFirst(count)
        }
    }

    func sendHead(_ status: Int, _ headers: [(String, String)]) throws {
        let lines = headers.map { "\($0): \($1)\r\n" }.joined()
        try send(
            Array("HTTP/1.1 \(status) \(status < 400 ? "OK" : "Refused")\r\n\(lines)\r\n".utf8)
        )
    }

    func sendChunk(_ bytes: [UInt8]) throws {
        guard !bytes.isEmpty else { return }
        try send(Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + [13, 10])
    }

    func endChunks() throws { try send(Array("0\r\n\r\n".utf8)) }

    /// Waits for a byte from the bell or the client; returns false if the client is gone.
    func wait(for bell: Int32, milliseconds: Int) -> Bool {
        var polled = [
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: bell, events: Int16(POLLIN), revents: 0),
        ]
        poll(&polled, 2, Int32(clamping: milliseconds))
        if polled[1].revents != 0 {
            var rings = [UInt8](repeating: 0, count: 64)
            recv(bell, &rings, rings.count, 0)
        }
        guard polled[0].revents != 0 else { return true }
        var byte: UInt8 = 0
        return recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) > 0
    }
}

/// An HTTP request as the server received it.
struct ServerRequest: Sendable {
    let method: String
    /// The path without the query, unescaped.
    let path: String
    let query: [String: String]
    /// The headers, with their names in lower case.
    let headers: [String: String]
    var body: [UInt8] = []

    var isWatch: Bool { ["true", "1"].contains(query["watch"] ?? "") }

    init?(head: String) {
        let lines = head.split(separator: "\r\n")
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count == 3 else { return nil }
        method = String(words[0])
        let target = words[1].split(separator: "?", maxSplits: 1)
        path = Self.unescaped(target.first ?? "/")
        query = Dictionary(
            (target.count > 1 ? target[1].split(separator: "&") : []).map { pair in
                let parts = pair.split(separator: "=", maxSplits: 1)
                return (String(parts[0]), parts.count > 1 ? Self.unescaped(parts[1]) : "")
            },
            uniquingKeysWith: { $1 }
        )
        headers = Dictionary(
            lines.dropFirst().compactMap { line in
                guard let colon = line.firstIndex(of: ":") else { return nil }
                let value = line[line.index(after: colon)...].drop { $0 == " " }
                return (line[..<colon].lowercased(), String(value))
            },
            uniquingKeysWith: { $1 }
        )
    }

    private static func unescaped(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"),
                let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
            {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
