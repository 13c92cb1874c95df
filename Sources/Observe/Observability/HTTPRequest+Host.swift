package import NetworkTypes

extension HTTPRequest {
    static let hostAdvice = "ask for an IP address or localhost, not for another name"

    /// Whether the sender of the request really addressed this server.
    ///
    /// A web page can make its own name resolve to 127.0.0.1. A browser on this node then lets the
    /// page talk to this server as if it were local (DNS rebinding), but the Host header shows the
    /// page's name. Therefore a request that only this node can send, or that changes something,
    /// must name an IP address or `localhost`. Other requests may use any name: load balancers and
    /// Prometheus may use the node's.
    package func isMeant(for address: IPAddress) -> Bool {
        let isRead = method == "GET" || method == "HEAD"
        guard address.isLoopback || !isRead else { return true }
        guard let host = headers["host"] else { return isHTTP10 }
        guard !host.isEmpty else { return isHTTP10 }
        let name = Self.withoutPort(host[...].trimmingSpaces)
        return name.lowercased() == "localhost" || IPAddress(String(name)) != nil
    }

    /// Removes the port from texts such as `[::1]:80`, `127.0.0.1:80` and `localhost`.
    private static func withoutPort(_ host: Substring) -> Substring {
        guard host.hasPrefix("[") else { return host.prefix { $0 != ":" } }
        let inside = host.dropFirst().prefix { $0 != "]" }
        let rest = host.dropFirst(1 + inside.count)
        return rest == "]" || rest.hasPrefix("]:") ? inside : ""
    }
}

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        var text = self
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return text
    }
}

extension HTTPRequest {
    /// The parameters of the query, as forms send them; the last of several with one name counts.
    package var parameters: [String: String] {
        var parameters: [String: String] = [:]
        for part in query.split(separator: "&") {
            let words = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            parameters[Self.decoded(words[0])] = words.count > 1 ? Self.decoded(words[1]) : ""
        }
        return parameters
    }

    /// Decodes `%2F` and `+`; a percent sign without two digits stands for itself.
    private static func decoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            let digits = String(Substring(rest.prefix(2)))
            if byte == UInt8(ascii: "%"), digits.utf8.count == 2,
                digits.allSatisfy(\.isHexDigit), let decoded = UInt8(digits, radix: 16)
            {
                bytes.append(decoded)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
