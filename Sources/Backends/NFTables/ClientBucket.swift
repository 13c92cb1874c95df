package import NetworkTypes

/// A group of clients that share one entry in the map `affinity`.
///
/// The map has one entry for each bucket and frontend. So the clients of one frontend cannot fill
/// it for other frontends, whether they are many or forge their addresses.
package enum ClientBucket {
    package static let count: UInt32 = 1 << 14
    /// The seed of the hash: an arbitrary number that is the same on all nodes and must never
    /// change.
    package static let seed: UInt32 = 0x6E65_6564

    /// Returns the bucket that the kernel computes for `jhash ip saddr mod`
    /// (`net/netfilter/nft_hash.c: nft_jhash_eval`; it scales the hash instead of dividing).
    package static func of(_ client: IPAddress) -> UInt32 {
        scaledHash(client.networkOrderBytes, seed: seed, modulus: count)
    }

    /// The number below the modulus that the kernel makes of any bytes.
    package static func scaledHash(_ bytes: [UInt8], seed: UInt32, modulus: UInt32) -> UInt32 {
        let hash = UInt64(JenkinsHash.of(bytes, seed: seed))
        return UInt32((hash * UInt64(modulus)) >> 32)
    }

    /// Returns the key of an entry in the map `affinity`.
    package static func key(_ bucket: UInt32, _ frontend: FrontendKey) -> ElementBytes {
        var key = ElementBytes()
        key.append(hostOrder: bucket)
        key.append(frontend.address)
        key.append(frontend.transport)
        key.append(port: frontend.port)
        return key
    }
}

/// Bob Jenkins's 32-bit hash as in `include/linux/jhash.h`, for little-endian machines.
private struct JenkinsHash {
    private var (a, b, c): (UInt32, UInt32, UInt32)

    static func of(_ bytes: [UInt8], seed: UInt32) -> UInt32 {
        let start = 0xDEAD_BEEF &+ UInt32(bytes.count) &+ seed
        var hash = JenkinsHash(a: start, b: start, c: start)
        var rest = bytes[...]
        while rest.count > 12 {
            hash.add(rest)
            hash.mix()
            rest = rest.dropFirst(12)
        }
        guard !rest.isEmpty else { return hash.c }
        hash.add(rest)
        hash.finish()
        return hash.c
    }

    /// Adds the first twelve bytes; missing bytes count as zero.
    private mutating func add(_ bytes: ArraySlice<UInt8>) {
        let word = { (index: Int) in
            bytes.dropFirst(4 * index).prefix(4).reversed().reduce(UInt32(0)) {
                $0 << 8 | UInt32($1)
            }
        }
        a &+= word(0)
        b &+= word(1)
        c &+= word(2)
    }

    private mutating func mix() {
        a = (a &- c) ^ Self.rotate(c, 4)
        c &+= b
        b = (b &- a) ^ Self.rotate(a, 6)
        a &+= c
        c = (c &- b) ^ Self.rotate(b, 8)
        b &+= a
        a = (a &- c) ^ Self.rotate(c, 16)
        c &+= b
        b = (b &- a) ^ Self.rotate(a, 19)
        a &+= c
        c = (c &- b) ^ Self.rotate(b, 4)
        b &+= a
    }

    private mutating func finish() {
        c = (c ^ b) &- Self.rotate(b, 14)
        a = (a ^ c) &- Self.rotate(c, 11)
        b = (b ^ a) &- Self.rotate(a, 25)
        c = (c ^ b) &- Self.rotate(b, 16)
        a = (a ^ c) &- Self.rotate(c, 4)
        b = (b ^ a) &- Self.rotate(a, 14)
        c = (c ^ b) &- Self.rotate(b, 24)
    }

    private static func rotate(_ word: UInt32, _ bits: UInt32) -> UInt32 {
        word << bits | word >> (32 - bits)
    }
}
