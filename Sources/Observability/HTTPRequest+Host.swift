package import NetworkTypes

extension HTTPRequest {
    static let hostAdvice = "ask for an IP address or localhost, not for another name"

    /// Whether whoever made the request meant this server.
    ///
    /// A web page may let its own name stand for 127.0.0.1, and then a browser on this node lets it talk to us as if it
    /// were from here (DNS rebinding). The name in the Host header gives it away: it is the page's.
    /// So what only this node can reach, and what changes something, is told to those who ask
    /// for an address or for `localhost`. Other names are good elsewhere: load balancers and
    /// Prometheus may ask by the node's name.
    package func isMeant(for address: IPAddress) -> Bool {
        let isRead = method == "GET" || method == "HEAD"
        guard address.isLoopback || !isRead else { return true }
        guard let host = headers["host"] else { return isHTTP10 }
        guard !host.isEmpty else { return isHTTP10 }
        let name = Self.withoutPort(host[...].trimmingSpaces)
        return name.lowercased() == "localhost" || IPAddress(String(name)) != nil
    }

    /// `[::1]:80`, `127.0.0.1:80`, `localhost`.
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
