internal import NetworkTypes
package import NFTables

/// A parser for `/proc/net/ip_vs_conn`, the only place where the kernel lists the connections of
/// IPVS.
///
/// A line has the protocol, the client's address and port, the frontend's address and port, the
/// destination's address and port, the state, and the seconds until the connection expires.
/// Addresses and ports are hexadecimal (`net/netfilter/ipvs/ip_vs_conn.c: ip_vs_conn_seq_show`).
package enum ConnectionList {
    /// Returns the connections of TCP and SCTP.
    ///
    /// Lines whose client port is 0 are left out: they are no connections, but keep a client with
    /// its destination.
    package static func connections(in text: [UInt8]) -> Set<InheritedConnection> {
        var found: Set<InheritedConnection> = []
        for line in text.split(separator: UInt8(ascii: "\n")) {
            if let connection = connection(line) { found.insert(connection) }
        }
        return found
    }

    private static func connection(_ line: ArraySlice<UInt8>) -> InheritedConnection? {
        let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
        guard fields.count == 6, let transport = transport(fields[0]),
            let client = address(fields[1]), let clientPort = port(fields[2]), clientPort != 0,
            let frontend = address(fields[3]), let port = port(fields[4])
        else { return nil }
        return InheritedConnection(
            AddressAndPort(client, clientPort),
            FrontendKey(frontend, transport, port)
        )
    }

    private static func transport(_ field: ArraySlice<UInt8>) -> TransportProtocol? {
        if field.elementsEqual("TCP".utf8) { return .tcp }
        return field.elementsEqual("SCTP".utf8) ? .sctp : nil
    }

    private static func port(_ field: ArraySlice<UInt8>) -> UInt16? {
        UInt16(String(decoding: field, as: UTF8.self), radix: 16)
    }

    /// Parses an IPv4 address of 8 digits or an IPv6 address of eight groups of 4 digits.
    private static func address(_ field: ArraySlice<UInt8>) -> IPAddress? {
        let text = String(decoding: field, as: UTF8.self)
        return field.count == 8
            ? UInt32(text, radix: 16).map { IPAddress(ipv4: $0) } : IPAddress(text)
    }
}
