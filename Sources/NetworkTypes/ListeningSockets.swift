/// Where the programs of a host wait for connections and datagrams.
package struct ListeningSockets: Sendable, Hashable {
    private var keys: Set<FrontendKey> = []

    package init() {}

    package mutating func insert(_ key: FrontendKey) { keys.insert(key) }

    /// Whether a socket gets what is sent there; one that is bound to the IPv6 wildcard is taken to
    /// listen on IPv4, too.
    package func contains(_ key: FrontendKey) -> Bool {
        if keys.contains(key) { return true }
        let wildcards = [IPAddress(ipv4: 0), IPAddress(ipv6High: 0, low: 0)]
        return wildcards.contains { address in
            (address.family == key.address.family || address.family == .ipv6)
                && keys.contains(FrontendKey(address, key.transport, key.port))
        }
    }

    /// Takes a line of `/proc/net/tcp`, `tcp6`, `udp` or `udp6`.
    ///
    /// Returns false if its socket does not listen: those of TCP that do come first.
    package mutating func insert(line: Substring, of transport: TransportProtocol) -> Bool {
        let words = line.split(separator: " ", maxSplits: 4)
        guard words.count > 3, words[3] == (transport == .tcp ? "0A" : "07") else { return false }
        let end = words[1].split(separator: ":")
        guard end.count == 2, let address = Self.address(end[0]),
            let port = UInt16(end[1], radix: 16)
        else { return false }
        keys.insert(FrontendKey(address, transport, port))
        return true
    }

    /// Words of 32 bits in network order, each printed as a number of the host's.
    private static func address(_ text: Substring) -> IPAddress? {
        var bytes: [UInt8] = []
        var rest = text
        while !rest.isEmpty {
            guard let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
            withUnsafeBytes(of: word) { bytes += $0 }
            rest = rest.dropFirst(8)
        }
        return IPAddress(networkOrder: bytes)
    }
}
