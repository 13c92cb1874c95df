internal import NetworkTypes

/// Writes the bytes of entries; numbers take as few as they need.
struct JournalWriter {
    private(set) var bytes: [UInt8] = []

    /// Forgets what was written, and keeps the memory.
    mutating func clear() { bytes.removeAll(keepingCapacity: true) }

    var count: Int { bytes.count }

    /// Forgets what was written after the first bytes.
    mutating func cut(to count: Int) { bytes.removeSubrange(count...) }

    mutating func write(byte: UInt8) { bytes.append(byte) }

    mutating func write(_ isTrue: Bool) { bytes.append(isTrue ? 1 : 0) }

    /// Writes seven bits in each byte, the lowest first.
    mutating func write(_ number: UInt64) {
        var rest = number
        while rest > 0x7F {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    mutating func write(_ number: Int) { write(UInt64(max(0, number))) }

    mutating func write(_ text: String) {
        write(text.utf8.count)
        bytes.append(contentsOf: text.utf8)
    }

    mutating func write(_ text: String?) {
        write(text != nil)
        if let text { write(text) }
    }

    mutating func write(_ address: IPAddress) {
        bytes.append(address.family.rawValue)
        if address.family == .ipv4 {
            write(bigEndian: address.low << 32, count: 4)
        } else {
            write(bigEndian: address.high, count: 8)
            write(bigEndian: address.low, count: 8)
        }
    }

    private mutating func write(bigEndian number: UInt64, count: Int) {
        withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0.prefix(count)) }
    }
}

/// Reads what `JournalWriter` has written; beyond the end there are zeros.
struct JournalReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

    mutating func bool() -> Bool { byte() != 0 }

    mutating func number() -> UInt64 {
        var (result, shift): (UInt64, UInt64) = (0, 0)
        while let byte = rest.popFirst() {
            result |= UInt64(byte & 0x7F) << shift
            guard byte > 0x7F else { break }
            shift += 7
        }
        return result
    }

    mutating func int() -> Int { Int(truncatingIfNeeded: number()) }

    /// The bytes of a text.
    mutating func utf8() -> ArraySlice<UInt8> {
        let count = min(int(), rest.count)
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    mutating func text() -> String { String(decoding: utf8(), as: UTF8.self) }

    mutating func optionalText() -> String? { bool() ? text() : nil }

    mutating func address() -> IPAddress {
        guard byte() == IPFamily.ipv6.rawValue else {
            return IPAddress(ipv4: UInt32(truncatingIfNeeded: bigEndian(4)))
        }
        let high = bigEndian(8)
        return IPAddress(ipv6High: high, low: bigEndian(8))
    }

    private mutating func bigEndian(_ count: Int) -> UInt64 {
        (0..<count).reduce(0) { number, _ in number << 8 | UInt64(byte()) }
    }
}
