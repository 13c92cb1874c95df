internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes

/// A request in HTTP/1.0, on a connection of its own.
struct HTTPRequest: Hashable {
    enum Outcome: Hashable {
        case answered(HTTPAnswer)
        case refused
        case silent
    }

    var path = "/"
    /// The name that the client has for the server; nil if it is the address.
    var host: String?

    /// Sends the request from inside a namespace.
    ///
    /// - Parameter patience: how long each step may take, in seconds
    func send(
        to target: FrontendKey,
        from namespace: Namespace,
        patience: Int
    ) throws -> Outcome {
        try send(to: target, from: namespace.handle, patience: patience)
    }

    func send(
        to target: FrontendKey,
        from namespace: NetworkNamespace,
        patience: Int
    ) throws -> Outcome {
        let descriptor: Int32
        switch try connectSocket(SOCK_STREAM, to: target, in: namespace, patience: patience)
        {
        case .success(let socket): descriptor = socket
        case .failure(let failure): return failure.code == ECONNREFUSED ? .refused : .silent
        }
        defer { close(descriptor) }
        let lines = ["GET \(path) HTTP/1.0", "Host: \(host ?? "\(target.address)")", "", ""]
        guard Transfer.send(descriptor, Array(lines.joined(separator: "\r\n").utf8)) else {
            return .silent
        }
        return HTTPAnswer(from: descriptor).map(Outcome.answered) ?? .silent
    }

    /// Returns what a program of the lab answers; nil if it does not, or not with status 200.
    func body(of server: FrontendKey, from namespace: Namespace) throws -> String? {
        guard case .answered(let answer) = try send(to: server, from: namespace, patience: 5),
            answer.status == 200
        else { return nil }
        return answer.body
    }
}

/// The answer of an HTTP server.
struct HTTPAnswer: Hashable {
    let status: Int
    let body: String

    /// Receives an answer: as many bytes as it says, or all until the server closes.
    fileprivate init?(from descriptor: Int32) {
        var message = HTTPMessage()
        while !message.isWhole, message.receive(descriptor) {}
        let words = message.head?.first?.split(separator: " ") ?? []
        guard words.count > 1, let status = Int(words[1]) else { return nil }
        self.status = status
        body = String(decoding: message.body, as: UTF8.self)
    }
}

/// What has been received of an HTTP message.
struct HTTPMessage {
    private static let limit = 4 << 20
    private var bytes: [UInt8]

    init(_ bytes: [UInt8] = []) { self.bytes = bytes }

    /// The first line and the headers; nil before all of them have been received.
    var head: [Substring]? {
        headEnd.map {
            String(decoding: bytes[..<$0.lowerBound], as: UTF8.self).split(separator: "\r\n")
        }
    }

    /// The body; of one in chunks, what has come of it in whole ones.
    var body: [UInt8] {
        let rest = headEnd.map { bytes[$0.upperBound...] } ?? []
        return isChunked ? Self.chunks(rest).body : Array(rest)
    }

    /// Whether it is as long as it says.
    var isWhole: Bool {
        guard let end = headEnd?.upperBound else { return false }
        if isChunked { return Self.chunks(bytes[end...]).isWhole }
        return header("content-length").flatMap { Int($0) }.map { bytes.count - end >= $0 } ?? false
    }

    private var isChunked: Bool { header("transfer-encoding") == "chunked" }

    /// Joins chunks, each after a line with its length in hexadecimal; the last one is empty.
    private static func chunks(_ bytes: ArraySlice<UInt8>) -> (body: [UInt8], isWhole: Bool) {
        var body: [UInt8] = []
        var rest = bytes
        while let end = rest.firstRange(of: [13, 10]),
            let count = Int(String(decoding: rest[..<end.lowerBound], as: UTF8.self), radix: 16),
            count >= 0, rest[end.upperBound...].count >= count + 2
        {
            guard count > 0 else { return (body, true) }
            body += rest[end.upperBound...].prefix(count)
            rest = rest[end.upperBound...].dropFirst(count + 2)
        }
        return (body, false)
    }

    private var headEnd: Range<Int>? { bytes.firstRange(of: Array("\r\n\r\n".utf8)) }

    /// Returns the value of a header.
    ///
    /// - Parameter name: in lower case
    func header(_ name: String) -> String? {
        for line in head ?? [] {
            guard let colon = line.firstIndex(of: ":"), line[..<colon].lowercased() == name
            else { continue }
            return String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        return nil
    }

    /// Receives the next part; returns false if none comes.
    mutating func receive(_ descriptor: Int32) -> Bool {
        guard bytes.count < Self.limit else { return false }
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return false }
        bytes += buffer[..<count]
        return true
    }
}
