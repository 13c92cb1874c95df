/// Cuts the body of a watch into the bytes of its events, however it arrives.
package protocol WatchSplitter: Sendable {
    init()
    /// Takes what arrived.
    mutating func append(_ bytes: [UInt8])
    /// The next event that is complete.
    mutating func next() throws(WireError) -> [UInt8]?
    /// At the end of the body: what is left over, nil if that is nothing.
    mutating func rest() -> [UInt8]?
}

/// JSON: each event is one line.
package struct LineSplitter: WatchSplitter {
    private var bytes: [UInt8] = []
    private var start = 0
    /// Up to here there is no end of a line.
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

/// Protobuf: each event has its length in front, 4 bytes, the highest first.
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
