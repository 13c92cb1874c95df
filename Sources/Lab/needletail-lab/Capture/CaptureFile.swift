/// A capture in the format pcapng, with an interface for each hop; Wireshark and tcpdump open it.
///
/// Packets begin with their IP header (`LINKTYPE_RAW`), and times are in nanoseconds.
struct CaptureFile {
    private static let rawIP: UInt16 = 101
    private(set) var bytes: [UInt8] = []

    init(_ sightings: [Sighting]) {
        // The section's header: byte order, version 1.0, length unknown.
        block(0x0A0D_0D0A, Self.word(0x1A2B_3C4D) + Self.short(1) + Self.short(0) + Self.long(~0))
        var interfaces: [String: UInt32] = [:]
        for sighting in sightings {
            let name = "\(sighting.place) \(sighting.interface)"
            guard interfaces[name] == nil else { continue }
            interfaces[name] = UInt32(interfaces.count)
            // Options: the name (2), times in powers of ten (9), the end (0).
            let options =
                Self.option(2, Array(name.utf8)) + Self.option(9, [9]) + Self.option(0, [])
            block(1, Self.short(Self.rawIP) + Self.short(0) + Self.word(0) + options)
        }
        for sighting in sightings {
            let time = UInt64(bitPattern: sighting.time)
            let length = UInt32(sighting.bytes.count)
            let interface = interfaces["\(sighting.place) \(sighting.interface)"] ?? 0
            block(
                6,
                Self.word(interface) + Self.word(UInt32(time >> 32))
                    + Self.word(UInt32(truncatingIfNeeded: time)) + Self.word(length)
                    + Self.word(length) + Self.padded(sighting.bytes)
            )
        }
    }

    /// Appends a block: its type, its length, the body, and the length again.
    private mutating func block(_ type: UInt32, _ body: [UInt8]) {
        let length = Self.word(UInt32(body.count + 12))
        bytes += Self.word(type) + length + body + length
    }

    private static func option(_ code: UInt16, _ value: [UInt8]) -> [UInt8] {
        short(code) + short(UInt16(value.count)) + padded(value)
    }

    private static func padded(_ bytes: [UInt8]) -> [UInt8] {
        bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
    }

    private static func short(_ value: UInt16) -> [UInt8] {
        withUnsafeBytes(of: value, Array.init)
    }
    private static func word(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value, Array.init) }
    private static func long(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value, Array.init) }
}
