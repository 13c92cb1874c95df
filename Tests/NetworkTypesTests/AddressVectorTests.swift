import NetworkTypes
import TestSupport
import Testing

@Suite struct AddressVectorTests {
    // RFC 4291, 2.2, with the forms of RFC 5952, 4.
    @Test(
        arguments: [
            ("ABCD:EF01:2345:6789:ABCD:EF01:2345:6789", "abcd:ef01:2345:6789:abcd:ef01:2345:6789"),
            ("2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"),
            ("FF01:0:0:0:0:0:0:101", "ff01::101"), ("0:0:0:0:0:0:0:1", "::1"),
            ("0:0:0:0:0:0:0:0", "::"), ("2001:DB8::8:800:200C:417A", "2001:db8::8:800:200c:417a"),
            ("2001:0db8:0:0:aaaa::1", "2001:db8::aaaa:0:0:1"),
            // RFC 5952, 4.2.2: one group alone is not shortened; 4.2.3: the longest run is, and
            // the first of equal ones.
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
            ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
            ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
            ("1:0:0:2:2:0:0:3", "1::2:2:0:0:3"), ("0:0:1:1:1:1:0:0", "::1:1:1:1:0:0"),
            ("1:1:1:1:1:1:0:0", "1:1:1:1:1:1::"), ("0:0:0:1:1:1:1:1", "::1:1:1:1:1"),
            // RFC 5952, 4.1: no leading zeros.
            ("2001:0db8::0001", "2001:db8::1"), ("::13.1.68.3", "::d01:4403"),
            ("::FFFF:129.144.52.38", "129.144.52.38"), ("::ffff:0:0", "0.0.0.0"),
            // A mapped address in hexadecimal is one as well (RFC 4291, 2.5.5.2).
            ("::ffff:8190:3426", "129.144.52.38"), ("::fffe:8190:3426", "::fffe:8190:3426"),
        ]
    )
    func `an address has one text`(text: String, canonical: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == canonical)
        #expect(IPAddress(canonical) == address)
    }

    @Test(
        arguments: [
            "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8", "1::2::",
            ":1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:", "::1.2.3.4.5", "::1.2.3.256", "1:2:3:4:5:6:7:1.2.3.4", "1.2.3.4::1",
            "::-1", "::00001", "::1 ", " ::1", "[::1]", "::1/128", "0x10.1.1.1", "1.2.3.4\0",
            "1.2.3.", ".1.2.3.4", "1.2.3.4.", "١.2.3.4", "::ｆ", "1.2.3.00000000256",
        ]
    )
    func `what the RFCs do not allow is none`(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func `eight groups may be seven with two colons, wherever the zero is`() {
        for gap in 0..<8 {
            let groups = (0..<8).map { $0 == gap ? 0 : $0 + 1 }
            let front = groups[..<gap].map { String($0, radix: 16) }.joined(separator: ":")
            let back = groups[(gap + 1)...].map { String($0, radix: 16) }.joined(separator: ":")
            let whole = groups.map { String($0, radix: 16) }.joined(separator: ":")
            #expect(IPAddress("\(front)::\(back)") == IPAddress(whole))
            #expect(IPAddress(whole)?.description == whole)
        }
    }

    // RFC 1122, 3927, 5771, 4291; kubernetes: ValidateEndpointIP.
    @Test(
        arguments: [
            ("127.0.0.0", "loopback"), ("127.255.255.255", "loopback"), ("::1", "loopback"),
            ("169.254.0.0", "link-local"), ("169.254.255.255", "link-local"),
            ("fe80::", "link-local"), ("febf:ffff::1", "link-local"),
            ("224.0.0.0", "multicast"), ("239.255.255.255", "multicast"), ("ff00::", "multicast"),
            ("ffff::1", "multicast"), ("0.0.0.0", "unspecified"), ("::", "unspecified"),
            ("255.255.255.255", "broadcast"), ("126.255.255.255", nil), ("128.0.0.0", nil),
            ("169.253.255.255", nil), ("169.255.0.0", nil), ("223.255.255.255", nil),
            ("240.0.0.0", nil), ("::2", nil), ("fe7f:ffff::", nil), ("fec0::", nil),
            ("feff::", nil), ("0.0.0.1", nil), ("255.255.255.254", nil),
        ] as [(String, String?)]
    )
    func `a special range ends where its standard says`(text: String, word: String?) {
        let reason = ip(text).reasonNotForServices
        if let word {
            #expect(reason?.contains(word) == true, "\(reason ?? "none")")
        } else {
            #expect(reason == nil)
        }
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `addresses are ordered as their bytes are, IPv4 first`(seed: UInt64) {
        var random = Seeded(seed)
        let addresses = (0..<60).map { _ in
            Bool.random(using: &random)
                ? IPAddress(ipv4: UInt32.random(in: 0 ... .max, using: &random))
                : IPAddress(ipv6High: random.next() & 0xFF, low: random.next())
        }
        for (left, right) in zip(addresses.sorted(), addresses.sorted().dropFirst()) {
            let (first, second) = (left.networkOrderBytes, right.networkOrderBytes)
            #expect(
                first.count < second.count
                    || first.count == second.count && !second.lexicographicallyPrecedes(first)
            )
        }
    }
}

@Suite struct PrefixPropertyTests {
    private func address(_ family: IPFamily, _ random: inout Seeded) -> IPAddress {
        family == .ipv4
            ? IPAddress(ipv4: 0x0A00_0000 | UInt32.random(in: 0..<512, using: &random))
            : IPAddress(ipv6High: 0xFD00 << 48, low: UInt64.random(in: 0..<512, using: &random))
    }

    private func randomBlock(_ random: inout Seeded) -> IPPrefix? {
        let family: IPFamily = Bool.random(using: &random) ? .ipv4 : .ipv6
        let length = family.bitWidth - Int.random(in: 0...9, using: &random)
        return IPPrefix(address(family, &random), length: length)
    }

    /// Compares the leading bits one by one.
    private func agree(_ left: IPAddress, _ right: IPAddress, bits: Int) -> Bool {
        guard left.family == right.family else { return false }
        let (first, second) = (left.networkOrderBytes, right.networkOrderBytes)
        return (0..<bits).allSatisfy { bit in
            let mask = UInt8(0x80) >> UInt8(bit % 8)
            return first[bit / 8] & mask == second[bit / 8] & mask
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a block has exactly the addresses with its leading bits`(seed: UInt64) throws {
        var random = Seeded(seed)
        for _ in 0..<200 {
            let block = try #require(randomBlock(&random))
            let (length, other) = (Int(block.length), address(block.family, &random))
            #expect(block.contains(other) == agree(block.base, other, bits: length))
            #expect(block.contains(block.base) && block.contains(block.last))
            #expect(IPPrefix(block.description) == block)
            let inner = try #require(randomBlock(&random))
            let isInside =
                inner.length >= block.length && agree(block.base, inner.base, bits: length)
            #expect(block.contains(inner) == isInside)
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `an aggregate has the addresses of all, sorted and without overlaps`(seed: UInt64) {
        var random = Seeded(seed)
        for _ in 0..<20 {
            let blocks = (0..<Int.random(in: 0...12, using: &random)).compactMap { _ in
                randomBlock(&random)
            }
            let kept = IPPrefix.aggregated(blocks)
            #expect(Set(kept).isSubset(of: blocks))
            for (left, right) in zip(kept, kept.dropFirst()) { #expect(left.last < right.base) }
            for _ in 0..<50 {
                for family in IPFamily.allCases {
                    let address = address(family, &random)
                    #expect(
                        kept.contains { $0.contains(address) }
                            == blocks.contains { $0.contains(address) }
                    )
                }
            }
            #expect(IPPrefix.aggregated(kept) == kept)
            #expect(IPPrefix.aggregated(blocks.shuffled(using: &random)) == kept)
        }
    }

    @Test func `every length of both families has its first and last address`() throws {
        for family in IPFamily.allCases {
            let ones =
                family == .ipv4
                ? IPAddress(ipv4: .max) : IPAddress(ipv6High: .max, low: .max)
            for length in 0...family.bitWidth {
                let block = try #require(IPPrefix(ones, length: length))
                #expect(block.last == ones)
                let bytes = block.base.networkOrderBytes
                for bit in 0..<family.bitWidth {
                    let isSet = bytes[bit / 8] & UInt8(0x80) >> UInt8(bit % 8) != 0
                    #expect(isSet == (bit < length))
                }
            }
            #expect(IPPrefix(ones, length: family.bitWidth + 1) == nil)
            #expect(IPPrefix(ones, length: -1) == nil)
        }
    }
}

@Suite struct KeyTextTests {
    // RFC 3986, 3.2.2: an IPv6 address beside a port is in brackets.
    @Test func `an address with a port can be read by everyone`() {
        #expect(AddressAndPort(ip("10.0.0.1"), 80).description == "10.0.0.1:80")
        #expect(AddressAndPort(ip("fd00::1"), 80).description == "[fd00::1]:80")
        #expect(FrontendKey(ip("fd00::1"), .sctp, 9).description == "[fd00::1]:9/sctp")
    }

    @Test func `keys are sorted by address, port and protocol`() {
        let keys = [
            FrontendKey(ip("10.0.0.1"), .udp, 80), FrontendKey(ip("10.0.0.1"), .tcp, 443),
            FrontendKey(ip("10.0.0.1"), .tcp, 80), FrontendKey(ip("9.0.0.1"), .sctp, 9000),
            FrontendKey(ip("::1"), .tcp, 1),
        ]
        #expect(
            keys.sorted().map(\.description) == [
                "9.0.0.1:9000/sctp", "10.0.0.1:80/tcp", "10.0.0.1:80/udp", "10.0.0.1:443/tcp",
                "[::1]:1/tcp",
            ]
        )
    }

    // https://www.iana.org/assignments/protocol-numbers
    @Test func `protocols have IANA's numbers and Kubernetes' names`() {
        #expect(TransportProtocol(kubernetesName: "TCP")?.rawValue == 6)
        #expect(TransportProtocol(kubernetesName: "UDP")?.rawValue == 17)
        #expect(TransportProtocol(kubernetesName: "SCTP")?.rawValue == 132)
        for name in ["tcp", "ICMP", "", "TCP "] {
            #expect(TransportProtocol(kubernetesName: name) == nil)
        }
    }
}
