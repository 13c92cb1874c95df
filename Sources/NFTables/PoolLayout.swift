package import ServicePlan

/// Which endpoint each slot of a pool holds.
///
/// A packet draws a slot at random. Up to 32 endpoints have a slot each. A larger pool has a power
/// of two of slots, at least 8 for each endpoint, shared out as evenly as can be, so that
/// endpoints come and go without another pool size, hence without another rule.
package struct PoolLayout: Sendable, Hashable {
    /// By slot.
    package let endpoints: [Endpoint]

    package static let largestExactSize = 32
    /// Slot numbers are `size << 16 + index` in 32 bits.
    package static let largestSize = Pool.largestSize

    package var size: UInt32 { UInt32(endpoints.count) }

    /// The slots of a pool of this size begin here, so that pools of different sizes share a map.
    package static func firstSlot(_ size: UInt32) -> UInt32 { size << 16 }

    /// The size of a pool in slots.
    package static func size(for endpointCount: Int) -> Int {
        guard endpointCount > largestExactSize else { return endpointCount }
        var size = 512
        while size < 8 * endpointCount, size < largestSize { size *= 2 }
        return size
    }

    /// Lays out a pool, leaving in place whom the previous layout of the same size has placed.
    package init(_ pool: [Endpoint], previous: PoolLayout?) {
        let size = Self.size(for: pool.count)
        let pool = pool.count > size ? Array(pool.prefix(size)) : pool
        guard let previous, previous.endpoints.count == size else {
            // Round robin: share sizes differ by one at most.
            endpoints = size == pool.count ? pool : (0..<size).map { pool[$0 % pool.count] }
            return
        }
        endpoints = previous.endpoints == pool ? pool : Self.moved(pool, previous.endpoints)
    }

    private static func moved(_ pool: [Endpoint], _ previous: [Endpoint]) -> [Endpoint] {
        var slots: [Endpoint?] = Array(repeating: nil, count: previous.count)
        let share = previous.count / pool.count
        var remainder = previous.count % pool.count
        // The previous layout may know an endpoint from the kernel, which does not tell locality.
        let known = Dictionary(
            pool.map { (Endpoint($0.address, $0.port, isLocal: false), $0) },
            uniquingKeysWith: { first, _ in first }
        )
        var held: [Endpoint: Int] = [:]
        for (slot, old) in previous.enumerated() {
            guard let endpoint = known[Endpoint(old.address, old.port, isLocal: false)]
            else { continue }
            let count = held[endpoint, default: 0]
            guard count < share || (count == share && remainder > 0) else { continue }
            if count == share { remainder -= 1 }
            held[endpoint] = count + 1
            slots[slot] = endpoint
        }
        var needy = pool.flatMap { endpoint in
            repeatElement(endpoint, count: max(0, share - held[endpoint, default: 0]))
        }
        needy += pool.filter { held[$0, default: 0] <= share }.prefix(remainder)
        var next = needy.makeIterator()
        return slots.compactMap { $0 ?? next.next() }
    }
}
