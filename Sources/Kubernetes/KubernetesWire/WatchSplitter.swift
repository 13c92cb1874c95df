/// Splits the body of a watch into the bytes of its events as it arrives.
package protocol WatchSplitter: Sendable {
    init()
    mutating func append(_ bytes: [UInt8])
    /// Returns the next complete event; nil if more bytes are needed.
    mutating func next() throws(WireError) -> [UInt8]?
    /// Returns the bytes that are left over when the body has ended; nil if there are none.
    mutating func rest() -> [UInt8]?
}

/// Splits a watch in JSON, where each event is one line.
package struct LineSplitter: WatchSplitter {
    private var bytes: [UInt8] = []
    private var start = 0
    /// The offset before which no unread line ends.
    private var searched = 0

    package init() {}

    package mutating func append(_ more: [UInt8]) {
        bytes.removeFirst(start)
        (start, searched) = (0, searched - start)
        bytes += more
    }

    package mutating func next() throws(WireError) -> [UInt8]? {
        while let end = bytes[searched...].firstIndex(of: UInt8(ascii: "\n")) {
            let line = bytes[start..<end]
            (start, searched) = (end + 1, end + 1)
            if !line.isEmpty { return Array(line) }
        }
        searched = bytes.count
        guard bytes.count - start <= largestFrame else {
            throw WireError("an event of more than \(largestFrame) bytes")
        }
        return nil
    }

    package mutating func rest() -> [UInt8]? {
        defer { start = bytes.count }
        return start < bytes.count ? Array(bytes[start...]) : nil
    }
}

/// Splits a watch in protobuf, where a 4-byte big-endian length precedes each event.
package struct LengthSplitter: WatchSplitter {
    private var bytes: [UInt8] = []
    private var start = 0

    package init() {}

    package mutating func append(_ more: [UInt8]) {
        bytes.removeFirst(start)
        start = 0
        bytes += more
    }

    package mutating func next() throws(WireError) -> [UInt8]? {
        guard bytes.count - start >= 4 else { return nil }
        let length = bytes[start..<(start + 4)].reduce(0) { $0 << 8 | Int($1) }
        guard length <= largestFrame else {
            throw WireError("an event of \(length) bytes; \(largestFrame) are the limit")
        }
        guard bytes.count - start - 4 >= length else { return nil }
        defer { start += 4 + length }
        return Array(bytes[(start + 4)..<(start + 4 + length)])
    }

    package mutating func rest() -> [UInt8]? {
        defer { start = bytes.count }
        return start < bytes.count ? Array(bytes[start...]) : nil
    }
}
