package import NetworkTypes

/// A set element's key or data as the kernel holds it.
///
/// Addresses and ports are in network order, and each field is padded to a multiple of four bytes.
/// The longest is an IPv6 affinity key of 40 bytes.
package struct ElementBytes: Sendable, Hashable {
    private var words: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)
    package private(set) var count: UInt8 = 0

    package static let capacity = 40

    package init() {}

    package init(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= Self.capacity, "no needletail set has keys that long")
        count = UInt8(bytes.count)
        withUnsafeMutableBytes(of: &words) { $0.copyMemory(from: bytes) }
    }

    package func withBytes<T>(_ body: (UnsafeRawBufferPointer) -> T) -> T {
        withUnsafeBytes(of: words) { body(UnsafeRawBufferPointer(rebasing: $0[..<Int(count)])) }
    }

    package var bytes: [UInt8] { withBytes(Array.init) }

    /// Returns the first bytes.
    package func prefix(_ count: Int) -> ElementBytes {
        withBytes { ElementBytes(UnsafeRawBufferPointer(rebasing: $0.prefix(count))) }
    }

    // MARK: Appending fields

    package mutating func append(_ address: IPAddress) {
        if address.family == .ipv4 {
            append(UInt32(truncatingIfNeeded: address.low))
        } else {
            append(UInt32(truncatingIfNeeded: address.high >> 32))
            append(UInt32(truncatingIfNeeded: address.high))
            append(UInt32(truncatingIfNeeded: address.low >> 32))
            append(UInt32(truncatingIfNeeded: address.low))
        }
    }

    /// Appends a number in network order.
    package mutating func append(_ word: UInt32) { appendRaw(word.bigEndian) }

    /// Appends a port: two bytes in network order, then padding.
    package mutating func append(port: UInt16) { appendRaw(UInt32(port.bigEndian)) }

    /// Appends a protocol: one byte, then padding.
    package mutating func append(_ transport: TransportProtocol) {
        appendRaw(UInt32(transport.rawValue).littleEndian)
    }

    /// Appends a number in the machine's byte order, as `numgen` and `jhash` leave it in a
    /// register.
    package mutating func append(hostOrder word: UInt32) { appendRaw(word) }

    private mutating func appendRaw(_ word: UInt32) {
        let offset = Int(count)
        precondition(offset + 4 <= Self.capacity, "no needletail set has keys that long")
        withUnsafeMutableBytes(of: &words) {
            $0.storeBytes(of: word, toByteOffset: offset, as: UInt32.self)
        }
        count += 4
    }

    package static func == (left: Self, right: Self) -> Bool {
        left.words == right.words && left.count == right.count
    }

    package func hash(into hasher: inout Hasher) {
        withBytes { hasher.combine(bytes: $0) }
    }

    /// Returns a number that depends on all bytes and on the seed, for a table of places.
    func hash(_ seed: UInt64) -> UInt64 {
        var hash = seed ^ UInt64(count)
        for word in [words.0, words.1, words.2, words.3, words.4].prefix(Int(count + 7) / 8) {
            hash = (hash ^ word) &* 0x9E37_79B9_7F4A_7C15
            hash ^= hash >> 32
        }
        return hash
    }
}

/// Reads the fields of a key or of data, in the order in which they were appended.
package struct ElementReader {
    private let bytes: [UInt8]
    private var offset = 0

    package init(_ element: ElementBytes) { bytes = element.bytes }

    private mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard offset + count <= bytes.count else { return nil }
        defer { offset += (count + 3) & ~3 }
        return bytes[offset..<(offset + count)]
    }

    package mutating func address(_ family: IPFamily) -> IPAddress? {
        take(family.byteCount).flatMap { IPAddress(networkOrder: $0) }
    }

    package mutating func port() -> UInt16? {
        take(2)?.reduce(0) { $0 << 8 | UInt16($1) }
    }

    package mutating func transport() -> TransportProtocol? {
        take(1)?.first.flatMap(TransportProtocol.init(rawValue:))
    }

    package mutating func hostOrderWord() -> UInt32? {
        take(4)?.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    package mutating func frontendKey(_ family: IPFamily) -> FrontendKey? {
        guard let address = address(family), let transport = transport(), let port = port()
        else { return nil }
        return FrontendKey(address, transport, port)
    }
}
