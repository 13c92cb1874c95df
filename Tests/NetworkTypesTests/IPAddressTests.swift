import NetworkTypes
import TestSupport
import Testing

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("10.96.0.10", "10.96.0.10"), ("255.255.255.255", "255.255.255.255"),
        // As in ParseIPSloppy, leading zeros are decimal.
        ("010.000.001.009", "10.0.1.9"),
        ("::", "::"), ("::1", "::1"), ("fd00::", "fd00::"),
        ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"),
        ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
        // As in Go, a mapped address is IPv4.
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ])
    func `reads and prints`(text: String, canonical: String) {
        #expect(IPAddress(text)?.description == canonical)
    }

    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "1.2.3.4 ", "a.b.c.d", "1..2.3", ":",
        ":::",
        "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", "::1.2.3", "1.2.3.4::",
        "+1::", "fe80::1%eth0", "1:2:3:4:5:6:7::8:9",
    ])
    func `refuses what is no address`(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `text and bytes are read back equal`(seed: UInt64) {
        var random = Seeded(seed)
        for _ in 0..<200 {
            // Many groups should be zero, because the text form depends on them.
            let mask = UInt64.random(in: .min ... .max, using: &random)
            let high = (random.next() & mask) & 0xFFFF_0000_FFFF_00FF
            let address =
                Bool.random(using: &random)
                ? IPAddress(ipv4: UInt32.random(in: .min ... .max, using: &random))
                : IPAddress(ipv6High: high | 1 << 60, low: random.next() & 0xFFFF_0000_0000_FFFF)
            #expect(IPAddress(address.description) == address)
            #expect(IPAddress(networkOrder: address.networkOrderBytes) == address)
        }
    }

    @Test func `Services keep off special addresses`() {
        for text in [
            "0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255", "::", "::1",
            "fe80::1", "ff02::1",
        ] {
            #expect(ip(text).reasonNotForServices != nil, "\(text)")
        }
        #expect(ip("10.0.0.1").reasonNotForServices == nil)
        #expect(ip("fd00::1").reasonNotForServices == nil)
    }
}

@Suite struct IPPrefixTests {
    @Test func `clears host bits`() {
        #expect(IPPrefix("10.1.2.3/8")?.description == "10.0.0.0/8")
        #expect(IPPrefix("fd00:1:2::3/48")?.description == "fd00:1:2::/48")
        for (front, back) in [
            (" ", " "), ("\t", "\n"), ("\r\n", "\r\n"), ("\u{b}", "\u{c}"), ("\u{85}", "\u{a0}"),
            ("\u{2028}", "\u{3000}"),
        ] {
            #expect(IPPrefix(front + "10.0.0.0/24" + back)?.description == "10.0.0.0/24")
        }
    }

    @Test(arguments: [
        "10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "10.0.0.0/", "/8", "10.0.0.0/8/9",
        "10.0.0.0/8 9", "10.0.0.0 /8", "10.0.0.0/ 8", "10.0.0.0/-0", "10.0.0.0/+8",
    ])
    func `refuses what is no block`(text: String) {
        #expect(IPPrefix(text) == nil)
    }

    @Test(arguments: [
        ("0.0.0.0/0", "255.255.255.255"), ("10.0.0.0/8", "10.255.255.255"),
        ("10.0.0.1/32", "10.0.0.1"),
        ("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fd00::/64", "fd00::ffff:ffff:ffff:ffff"),
        ("fd00::/63", "fd00:0:0:1:ffff:ffff:ffff:ffff"),
    ])
    func `knows its last address`(text: String, last: String) {
        #expect(prefix(text).last == ip(last))
    }

    @Test func `an aggregate holds no block inside another`() {
        let blocks = ["10.1.0.0/16", "10.0.0.0/8", "10.1.2.0/24", "11.0.0.0/8", "11.0.0.0/8"].map(
            prefix
        )
        #expect(IPPrefix.aggregated(blocks).map(\.description) == ["10.0.0.0/8", "11.0.0.0/8"])
    }
}

@Suite struct ListeningSocketsTests {
    private let lines: [(Substring, TransportProtocol)] = [
        (
            "   0: 0100007F:0CEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 1 1",
            .tcp
        ),
        (
            "   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 2 1",
            .tcp
        ),
        (
            "   0: B80D0120000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000",
            .tcp
        ),
        (
            "   1: 00000000000000000000000000000000:280A 00000000000000000000000000000000:0000 0A 0",
            .tcp
        ),
        (
            "  12: 010200C0:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000  0 0 3 2",
            .udp
        ),
    ]

    @Test func `what listens is read from the kernel's lists`() {
        var sockets = ListeningSockets()
        let listening = lines.filter { sockets.insert(line: $0.0, of: $0.1) }
        #expect(listening.count == lines.count)
        let connected =
            "   2: 0100007F:0CEB 0100007F:D431 01 00000000:00000000 00:00000000 00000000  0 0 4 1"
        let others = [connected[...], "sl local_address"].filter {
            sockets.insert(line: $0, of: .tcp)
        }
        #expect(others.isEmpty)
        for (address, port, transport) in [
            ("127.0.0.1", 3306, TransportProtocol.tcp), ("192.0.2.9", 22, .tcp),
            ("2001:db8::1", 8080, .tcp), ("2001:db8::9", 10250, .tcp), ("192.0.2.9", 10250, .tcp),
            ("192.0.2.1", 53, .udp),
        ] as [(String, UInt16, TransportProtocol)] {
            let address = IPAddress(address).map { FrontendKey($0, transport, port) }
            #expect(address.map(sockets.contains) == true, "\(String(describing: address))")
        }
        for (address, port, transport) in [
            ("127.0.0.2", 3306, TransportProtocol.tcp), ("2001:db8::1", 22, .tcp),
            ("2001:db8::2", 8080, .tcp), ("192.0.2.1", 53, .tcp), ("127.0.0.1", 3307, .tcp),
        ] as [(String, UInt16, TransportProtocol)] {
            let address = IPAddress(address).map { FrontendKey($0, transport, port) }
            #expect(address.map(sockets.contains) == false, "\(String(describing: address))")
        }
    }
}
