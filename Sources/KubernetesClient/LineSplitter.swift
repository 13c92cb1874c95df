/// Cuts a stream of bytes into lines, of which a JSON watch has one for each event.
struct LineSplitter {
    private var partial: [UInt8] = []
    /// A line longer than this is no event: the API server's own limit is 1.5 MiB.
    static let limit = 16 << 20

    /// Returns the lines that are complete now, without the newline; nil if one is too long.
    mutating func append(_ bytes: [UInt8]) -> [[UInt8]]? {
        var lines: [[UInt8]] = []
        var start = 0
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            lines.append(partial + bytes[start..<end])
            partial = []
            start = end + 1
        }
        partial += bytes[start...]
        return partial.count > Self.limit ? nil : lines.filter { !$0.isEmpty }
    }
}
