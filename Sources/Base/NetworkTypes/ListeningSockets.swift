/// The addresses and ports on which the programs of a host wait for connections and datagrams.
package struct ListeningSockets: Sendable, Hashable {
    private var keys: Set<FrontendKey> = []

    package init() {}

    package mutating func insert(_ key: FrontendKey) { keys.insert(key) }

    /// Whether a socket receives what is sent to this address and port.
    ///
    /// A socket that is bound to the IPv6 wildcard is assumed to listen on IPv4, too.
    package func contains(_ key: FrontendKey) -> Bool {
        if keys.contains(key) { return true }
        let wildcards = [IPAddress(ipv4: 0), IPAddress(ipv6High: 0, low: 0)]
        return wildcards.contains { address in
            (address.family == key.address.family || address.family == .ipv6)
                && keys.contains(FrontendKey(address, key.transport, key.port))
        }
    }

    /// Whether nobody can bind to this address and port: of a wildcard because of a socket at any
    /// address.
    package func isTaken(_ key: FrontendKey) -> Bool {
        let isWildcard = key.address.high == 0 && key.address.low == 0
        return contains(key)
            || isWildcard && keys.contains { $0.transport == key.transport && $0.port == key.port }
    }

    /// Adds the socket of one line of `/proc/net/tcp`, `tcp6`, `udp` or `udp6`.
    ///
    /// Returns false if the socket does not listen. The TCP files name all listening sockets first.
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

    /// Reads an address of `/proc/net`: 32-bit words in network byte order, each printed in
    /// hexadecimal as if it were in host byte order.
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
