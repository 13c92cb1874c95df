import NFTables
import NetworkTypes
import TestSupport
import Testing

/// Bob Jenkins's lookup3 as his paper has it, byte by byte, to compare with.
private enum Lookup3 {
    static func hash(_ bytes: [UInt8], seed: UInt32) -> UInt32 {
        let start = UInt32(0xDEAD_BEEF) &+ UInt32(bytes.count) &+ seed
        var state = [start, start, start]
        var position = 0
        while bytes.count - position > 12 {
            for offset in 0..<12 { add(bytes[position + offset], offset, &state) }
            for (to, from, bits) in [
                (0, 2, 4), (1, 0, 6), (2, 1, 8), (0, 2, 16), (1, 0, 19), (2, 1, 4),
            ] {
                state[to] = (state[to] &- state[from]) ^ rotated(state[from], bits)
                state[from] = state[from] &+ state[3 - to - from]
            }
            position += 12
        }
        guard position < bytes.count else { return state[2] }
        for offset in 0..<(bytes.count - position) { add(bytes[position + offset], offset, &state) }
        let steps = [
            (2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24),
        ]
        for (to, from, bits) in steps {
            state[to] = (state[to] ^ state[from]) &- rotated(state[from], bits)
        }
        return state[2]
    }

    private static func add(_ byte: UInt8, _ offset: Int, _ state: inout [UInt32]) {
        state[offset / 4] = state[offset / 4] &+ UInt32(byte) << UInt32(8 * (offset % 4))
    }

    private static func rotated(_ word: UInt32, _ bits: Int) -> UInt32 {
        word << bits | word >> (32 - bits)
    }
}

@Suite struct ClientBucketTests {
    // driver5 of http://burtleburtle.net/bob/c/lookup3.c prints these.
    @Test func `the hash to compare with has the results that its author has published`() {
        let text = Array("Four score and seven years ago".utf8)
        #expect(Lookup3.hash([], seed: 0) == 0xDEAD_BEEF)
        #expect(Lookup3.hash([], seed: 0xDEAD_BEEF) == 0xBD5B_7DDE)
        #expect(Lookup3.hash(text, seed: 0) == 0x1777_0551)
        #expect(Lookup3.hash(text, seed: 1) == 0xCD62_8161)
    }

    // `net/netfilter/nft_hash.c: nft_jhash_eval`: reciprocal_scale(jhash(...), modulus).
    @Test(arguments: 0..<8 as Range<UInt64>)
    func `the bucket of a client is what the kernel's expression computes`(seed: UInt64) {
        var random = Seeded(seed)
        for _ in 0..<200 {
            for client in [
                IPAddress(ipv4: UInt32.random(in: 0 ... .max, using: &random)),
                IPAddress(ipv6High: random.next(), low: random.next()),
            ] {
                let hash = Lookup3.hash(client.networkOrderBytes, seed: 0x6E65_6564)
                let bucket = UInt32(UInt64(hash) * 16384 / (1 << 32))
                #expect(ClientBucket.of(client) == bucket)
            }
        }
    }

    @Test func `neighbouring clients are in different buckets, and none is used much more`() {
        var clients: [UInt32: Int] = [:]
        for number in 0..<(4 * ClientBucket.count) {
            clients[ClientBucket.of(IPAddress(ipv4: 0x0A00_0000 + number)), default: 0] += 1
        }
        // Of four clients for each bucket, a bucket without any has a chance of e^-4, 1.8 %.
        #expect(clients.count > Int(ClientBucket.count) * 97 / 100)
        #expect((clients.values.max() ?? 0) < 20)
        #expect(clients.keys.allSatisfy { $0 < ClientBucket.count })
    }

    @Test func `a key of the affinity map is bucket, address, protocol and port`() {
        let key = ClientBucket.key(0x0102, FrontendKey(ip("10.96.0.10"), .udp, 53))
        #expect(
            key.bytes == [0x02, 0x01, 0, 0, 10, 96, 0, 10, 17, 0, 0, 0, 0, 53, 0, 0]
        )
        let wide = ClientBucket.key(1, FrontendKey(ip("fd00::a"), .tcp, 0x1234))
        #expect(wide.bytes.count == 28 && wide.bytes.suffix(4) == [0x12, 0x34, 0, 0])
    }
}

@Suite struct ElementBytesTests {
    // `net/netfilter/nft_set_pipapo.c`, libnftnl: a field takes whole registers of four bytes.
    @Test func `fields are in network order and padded to four bytes`() {
        var bytes = ElementBytes()
        bytes.append(ip("192.0.2.1"))
        bytes.append(TransportProtocol.sctp)
        bytes.append(port: 0x0050)
        bytes.append(UInt32(0x0102_0304))
        #expect(
            bytes.bytes == [192, 0, 2, 1, 132, 0, 0, 0, 0, 0x50, 0, 0, 1, 2, 3, 4]
        )
        #expect(
            ElementBytes(ip("2001:db8::1")).bytes == [0x20, 1, 0x0D, 0xB8]
                + Array(repeating: 0, count: 11) + [1]
        )
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `what was appended is read again in the same order`(seed: UInt64) {
        var random = Seeded(seed)
        for _ in 0..<50 {
            let isWide = Bool.random(using: &random)
            let address =
                isWide
                ? IPAddress(ipv6High: random.next(), low: random.next())
                : IPAddress(ipv4: UInt32.random(in: 0 ... .max, using: &random))
            let key = FrontendKey(
                address,
                TransportProtocol.allCases.randomElement(using: &random) ?? .tcp,
                UInt16.random(in: 0 ... .max, using: &random)
            )
            let word = UInt32.random(in: 0 ... .max, using: &random)
            var bytes = ElementBytes(key)
            bytes.append(hostOrder: word)
            var reader = ElementReader(bytes)
            #expect(reader.frontendKey(address.family) == key)
            #expect(reader.hostOrderWord() == word)
            #expect(reader.hostOrderWord() == nil)
            #expect(bytes.prefix(isWide ? 24 : 12) == ElementBytes(key))
        }
    }

    @Test func `a key that is too short or of another family's length is not read`() {
        let short = ElementBytes(ip("10.0.0.1"), port: 80)
        var reader = ElementReader(short)
        #expect(reader.frontendKey(.ipv4) == nil)
        reader = ElementReader(short)
        #expect(reader.address(.ipv6) == nil)
        reader = ElementReader(short)
        #expect(reader.address(.ipv4) == ip("10.0.0.1"))
        // 80 is no protocol of Services.
        #expect(reader.transport() == nil)
    }

    @Test func `equal bytes of another length are another element`() {
        var longer = ElementBytes(ip("10.0.0.1"))
        longer.append(UInt32(0))
        #expect(longer != ElementBytes(ip("10.0.0.1")))
        #expect(ElementBytes(ip("10.0.0.1")) < longer)
        #expect(longer < ElementBytes(ip("10.0.0.2")))
    }

    @Test func `bytes of a kernel are taken as they are`() {
        let bytes: [UInt8] = Array(1...40)
        let element = bytes.withUnsafeBytes(ElementBytes.init)
        #expect(element.bytes == bytes)
        #expect(element.prefix(12).bytes == Array(1...12))
    }
}
