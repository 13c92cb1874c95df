internal import NetworkTypes
package import ServicePlan

/// The text of `/proc/net/ip_vs_conn`, where alone the kernel lists the connections of IPVS.
///
/// A line has protocol, client, port, frontend's address, port, destination, port, state and the
/// seconds until it is forgotten; numbers and addresses are hexadecimal
/// (`net/netfilter/ipvs/ip_vs_conn.c: ip_vs_conn_seq_show`).
package enum ConnectionList {
    /// Those of TCP and SCTP.
    ///
    /// Left out are lines without a client's port: they keep clients with their destination.
    package static func connections(in text: [UInt8]) -> Set<IPVSConnection> {
        var found: Set<IPVSConnection> = []
        for line in text.split(separator: UInt8(ascii: "\n")) {
            if let connection = connection(line) { found.insert(connection) }
        }
        return found
    }

    private static func connection(_ line: ArraySlice<UInt8>) -> IPVSConnection? {
        let fields = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
        guard fields.count == 6, let transport = transport(fields[0]),
            let client = address(fields[1]), let clientPort = port(fields[2]), clientPort != 0,
            let frontend = address(fields[3]), let port = port(fields[4])
        else { return nil }
        return IPVSConnection(client, clientPort, FrontendKey(frontend, transport, port))
    }

    private static func transport(_ field: ArraySlice<UInt8>) -> TransportProtocol? {
        if field.elementsEqual("TCP".utf8) { return .tcp }
        return field.elementsEqual("SCTP".utf8) ? .sctp : nil
    }

    private static func port(_ field: ArraySlice<UInt8>) -> UInt16? {
        number(field).flatMap(UInt16.init(exactly:))
    }

    /// IPv4 in 8 digits, IPv6 in eight groups of four.
    private static func address(_ field: ArraySlice<UInt8>) -> IPAddress? {
        switch field.count {
        case 8: return number(field).map { IPAddress(ipv4: UInt32($0)) }
        case 39:
            let digits = field.filter { $0 != UInt8(ascii: ":") }
            guard digits.count == 32, let high = number(digits[..<16]),
                let low = number(digits[16...])
            else { return nil }
            return IPAddress(ipv6High: high, low: low)
        default: return nil
        }
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        guard !digits.isEmpty, digits.count <= 16 else { return nil }
        var number: UInt64 = 0
        for digit in digits {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = digit - UInt8(ascii: "A") + 10
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            default: return nil
            }
            number = number << 4 | UInt64(value)
        }
        return number
    }
}
