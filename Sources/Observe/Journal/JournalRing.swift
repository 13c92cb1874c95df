/// The newest entries, as bytes; the oldest go first when the memory is used up.
///
/// The bytes are in chunks, so that a reader can keep a copy of them without delaying the writer:
/// only the chunk that is being written is copied then.
struct JournalRing: Sendable {
    struct Chunk: Sendable {
        var bytes: [UInt8] = []
        /// The number of the first entry.
        let first: UInt64
        var count: UInt64 = 0
        /// The latest time of an entry.
        var lastTime: Int64 = 0
    }

    /// The memory of all chunks in bytes.
    static let limit = 4 << 20
    static let chunkSize = 64 << 10
    /// What an array and the allocator add to the bytes.
    private static let header = 40
    /// Allocators give a little more than they are asked for.
    private static let capacity = chunkSize - 64
    private static let chunkLimit = limit / chunkSize
    /// The largest entry.
    static let entryLimit = chunkSize / 2

    private(set) var chunks: [Chunk] = []
    private(set) var next: UInt64 = 0
    /// The number of bytes of all entries.
    private(set) var size = 0
    /// The time from which on everything is known, in nanoseconds on the journal's clock; nil while
    /// the journal is empty.
    private(set) var since: Int64?

    /// The number of entries.
    var count: Int { Int(next - (chunks.first?.first ?? next)) }

    /// The memory that is in use.
    var memory: Int { chunks.reduce(0) { $0 + $1.bytes.capacity + Self.header } }

    /// Appends an entry of no more than `entryLimit` bytes.
    mutating func append(_ bytes: [UInt8], at time: Int64) {
        let needed = bytes.count + 4
        if chunks.isEmpty || chunks[chunks.count - 1].bytes.count + needed > Self.capacity {
            makeRoom()
        }
        since = since ?? time
        let last = chunks.count - 1
        let length = UInt32(bytes.count)
        withUnsafeBytes(of: length) { chunks[last].bytes.append(contentsOf: $0) }
        chunks[last].bytes.append(contentsOf: bytes)
        chunks[last].count += 1
        chunks[last].lastTime = max(chunks[last].lastTime, time)
        next += 1
        size += needed
    }

    /// Begins another chunk.
    private mutating func makeRoom() {
        var bytes: [UInt8] = []
        if chunks.count == Self.chunkLimit {
            var oldest = chunks.removeFirst()
            size -= oldest.bytes.count
            since = oldest.lastTime
            swap(&bytes, &oldest.bytes)
        }
        // This keeps the memory, unless a reader still has it.
        bytes.removeAll(keepingCapacity: true)
        bytes.reserveCapacity(Self.capacity)
        chunks.append(Chunk(bytes: bytes, first: next))
    }
}

extension JournalRing.Chunk {
    /// Calls the closure with the number and the bytes of each entry, until it returns false.
    func forEach(_ body: (UInt64, ArraySlice<UInt8>) -> Bool) {
        var (position, number) = (0, first)
        while position < bytes.count {
            let length = (0..<4).reduce(0) { $0 | Int(bytes[position + $1]) << (8 * $1) }
            let entry = bytes[position + 4..<position + 4 + length]
            guard body(number, entry) else { return }
            position += 4 + length
            number += 1
        }
    }
}
