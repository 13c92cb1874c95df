/// A request in the subset of HTTP/1.1 that health and metrics need: one per connection.
package struct HTTPRequest: Sendable, Hashable {
    package let method: String
    /// The path without the query.
    package let path: String
    package let query: String
    /// Whether the request is HTTP/1.0, which needs no Host header.
    package let isHTTP10: Bool
    /// The headers, with their names in lower case.
    package let headers: [String: String]
    package let body: [UInt8]
    /// Whether both ends of the connection are loopback addresses, so that only this node can have
    /// sent the request.
    package var isOnLoopback = false

    /// The state of a request while its bytes arrive.
    package enum Progress: Sendable, Hashable {
        case incomplete
        /// The request is refused with this status.
        case bad(Int)
        case complete(HTTPRequest)
    }

    package static let headLimit = 8 << 10
    package static let bodyLimit = 4 << 10

    package static func read(_ bytes: [UInt8]) -> Progress {
        guard let end = endOfHead(bytes) else {
            return bytes.count > headLimit ? .bad(431) : .incomplete
        }
        guard end.lowerBound <= headLimit else { return .bad(431) }
        guard let lines = lines(of: bytes[..<end.lowerBound]) else { return .bad(400) }
        let words = lines.first?.split(separator: " ", omittingEmptySubsequences: false) ?? []
        guard words.count == 3, words[2].hasPrefix("HTTP/1."), words[1].hasPrefix("/"),
            !words[0].isEmpty, words[0].allSatisfy({ $0.isASCII && $0.isUppercase }),
            let headers = headers(lines.dropFirst())
        else { return .bad(400) }
        // RFC 9112, 3.2, requires a Host header in HTTP/1.1.
        guard headers["host"] != nil || words[2] == "HTTP/1.0" else { return .bad(400) }
        guard headers["transfer-encoding"] == nil else { return .bad(501) }
        guard let length = Int(headers["content-length"] ?? "0"), length >= 0 else {
            return .bad(400)
        }
        guard length <= bodyLimit else { return .bad(413) }
        let body = bytes[end.upperBound...]
        guard body.count >= length else { return .incomplete }
        let target = words[1].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        return .complete(
            HTTPRequest(
                method: String(words[0]),
                path: String(target[0]),
                query: target.count > 1 ? String(target[1]) : "",
                isHTTP10: words[2] == "HTTP/1.0",
                headers: headers,
                body: Array(body.prefix(length))
            )
        )
    }

    /// Returns the lines without their line ends; nil if they contain control characters.
    private static func lines(of head: ArraySlice<UInt8>) -> [String]? {
        var lines: [String] = []
        for line in head.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            let text = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            guard text.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else { return nil }
            lines.append(String(decoding: text, as: UTF8.self))
        }
        // The end of the last line does not begin another one.
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }

    /// Returns the headers with lower-case names; nil for an invalid line or a second Host header.
    private static func headers(_ lines: ArraySlice<String>) -> [String: String]? {
        var headers: [String: String] = [:]
        for line in lines {
            guard let colon = line.firstIndex(of: ":"), colon != line.startIndex else { return nil }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            let name = line[..<colon].lowercased()
            guard name != "host" || headers[name] == nil else { return nil }
            headers[name] = String(value)
        }
        return headers
    }

    /// Returns the blank line after the headers; some clients leave out the carriage returns.
    private static func endOfHead(_ bytes: [UInt8]) -> Range<Int>? {
        let (newline, carriageReturn) = (UInt8(ascii: "\n"), UInt8(ascii: "\r"))
        for index in bytes.indices.prefix(headLimit + 4) where bytes[index] == newline {
            if bytes[(index + 1)...].first == newline { return index + 1..<index + 2 }
            if bytes[(index + 1)...].starts(with: [carriageReturn, newline]) {
                return index + 1..<index + 3
            }
        }
        return nil
    }
}

package struct HTTPResponse: Sendable, Hashable {
    package var status: Int
    package var contentType: String
    package var headers: [(name: String, value: String)] = []
    package var body: String

    package init(_ status: Int, _ contentType: String, _ body: String) {
        (self.status, self.contentType, self.body) = (status, contentType, body)
    }

    package static let plain = "text/plain; charset=utf-8"
    package static let json = "application/json"

    package static func refusal(_ status: Int) -> HTTPResponse {
        var text = "\(status) \(reason(status))\n"
        if status == 421 { text += HTTPRequest.hostAdvice + "\n" }
        var response = HTTPResponse(status, plain, text)
        if status == 405 { response.headers.append(("Allow", "GET, HEAD")) }
        return response
    }

    /// Encodes the response.
    ///
    /// - Parameter isHead: whether to leave out the body, but not its length
    package func bytes(isHead: Bool = false) -> [UInt8] {
        var head = "HTTP/1.1 \(status) \(Self.reason(status))\r\n"
        head += "Content-Type: \(contentType)\r\nX-Content-Type-Options: nosniff\r\n"
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        head += "Content-Length: \(body.utf8.count)\r\nConnection: close\r\n\r\n"
        return Array(head.utf8) + (isHead ? [] : Array(body.utf8))
    }

    private static func reason(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 202: "Accepted"
        case 400: "Bad Request"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 413: "Content Too Large"
        case 421: "Misdirected Request"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        default: "Status"
        }
    }

    package static func == (left: HTTPResponse, right: HTTPResponse) -> Bool {
        left.bytes() == right.bytes()
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(bytes()) }
}
