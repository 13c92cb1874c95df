internal import CMnl
package import NetworkTypes

/// A buffer in which netlink messages are built one after the other.
///
/// libmnl's `mnl_attr_put` needs the final size in advance, which does not suit the hundreds of
/// thousands of elements sent at start-up. Here, lengths are filled in when a message or nest ends.
package struct MessageBuffer: ~Copyable {
    private var storage: UnsafeMutableRawPointer
    private var capacity: Int
    package private(set) var count = 0
    private var messageStart = 0

    package init(capacity: Int = 64 * 1024) {
        self.capacity = capacity
        storage = .allocate(byteCount: capacity, alignment: 8)
    }

    deinit { storage.deallocate() }

    package var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: storage, count: count)
    }

    package mutating func removeAll() { count = 0 }

    // MARK: Messages

    /// Begins a message; netlink header fields are in host byte order.
    package mutating func beginMessage(type: UInt16, flags: UInt16, sequence: UInt32) {
        messageStart = count
        append(UInt32(0))
        append(type)
        append(flags)
        append(sequence)
        append(UInt32(0))
    }

    package mutating func endMessage() {
        storage.storeBytes(
            of: UInt32(count - messageStart),
            toByteOffset: messageStart,
            as: UInt32.self
        )
    }

    /// Sets flags on the most recent complete message.
    package mutating func addFlagsToLastMessage(_ flags: UInt16) {
        let old = storage.load(fromByteOffset: messageStart + 6, as: UInt16.self)
        storage.storeBytes(of: old | flags, toByteOffset: messageStart + 6, as: UInt16.self)
    }

    /// Appends a complete message that a library has built.
    package mutating func appendMessage(_ message: UnsafeRawBufferPointer) {
        messageStart = count
        append(bytes: message)
    }

    /// Appends `struct nfgenmsg`, which follows the header of netfilter messages.
    package mutating func appendNetfilterHeader(family: UInt8, resource: UInt16 = 0) {
        append(family)
        append(UInt8(NFNETLINK_V0))
        append(resource.bigEndian)
    }

    // MARK: Attributes

    /// Appends an integer in host byte order.
    package mutating func attribute<T: FixedWidthInteger & BitwiseCopyable>(
        _ type: UInt16,
        _ value: T
    ) {
        appendHeader(type, MemoryLayout<T>.size)
        append(value)
        pad()
    }

    package mutating func attribute(_ type: UInt16, bigEndian value: UInt32) {
        attribute(type, value.bigEndian)
    }

    package mutating func attribute(_ type: UInt16, bytes: UnsafeRawBufferPointer) {
        appendHeader(type, bytes.count)
        append(bytes: bytes)
        pad()
    }

    /// Appends text with the zero byte that the kernel expects after it.
    package mutating func attribute(_ type: UInt16, _ text: String) {
        var text = text
        text.withUTF8 { utf8 in
            appendHeader(type, utf8.count + 1)
            append(bytes: UnsafeRawBufferPointer(utf8))
            append(UInt8(0))
        }
        pad()
    }

    /// Appends an address in network byte order, 4 or 16 bytes.
    package mutating func attribute(_ type: UInt16, _ address: IPAddress) {
        if address.family == .ipv4 {
            attribute(type, UInt32(truncatingIfNeeded: address.low).bigEndian)
        } else {
            appendHeader(type, 16)
            append(address.high.bigEndian)
            append(address.low.bigEndian)
        }
    }

    /// Appends an address as `union nf_inet_addr`: 16 bytes, of which IPv4 uses the first 4.
    package mutating func attribute(_ type: UInt16, union address: IPAddress) {
        appendHeader(type, 16)
        if address.family == .ipv4 {
            append(UInt32(truncatingIfNeeded: address.low).bigEndian)
            append(UInt32(0))
            append(UInt64(0))
        } else {
            append(address.high.bigEndian)
            append(address.low.bigEndian)
        }
    }

    /// Begins a nested attribute; pass the result to `endNest`.
    package mutating func beginNest(_ type: UInt16) -> Int {
        appendHeader(type | UInt16(NLA_F_NESTED), 0)
        return count - 4
    }

    package mutating func endNest(_ start: Int) {
        storage.storeBytes(of: UInt16(count - start), toByteOffset: start, as: UInt16.self)
    }

    private mutating func appendHeader(_ type: UInt16, _ length: Int) {
        append(UInt16(4 + length))
        append(type)
    }

    private mutating func pad() {
        while count % 4 != 0 { append(UInt8(0)) }
    }

    package mutating func append<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
        reserve(MemoryLayout<T>.size)
        storage.storeBytes(of: value, toByteOffset: count, as: T.self)
        count += MemoryLayout<T>.size
    }

    package mutating func append(bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        reserve(bytes.count)
        (storage + count).copyMemory(from: base, byteCount: bytes.count)
        count += bytes.count
    }

    private mutating func reserve(_ extra: Int) {
        guard count + extra > capacity else { return }
        capacity = max(2 * capacity, count + extra)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 8)
        larger.copyMemory(from: storage, byteCount: count)
        storage.deallocate()
        storage = larger
    }
}
