/// A dictionary that takes the room of its entries, for tables that have one for each Service.
///
/// A `Dictionary` has a power of two of slots and doubles them when three quarters are taken: at its
/// worst it takes 2.7 times the room of its entries, and four times while it grows. Here entries lie in
/// chunks without gaps, and a slot is only the number of an entry. A copy shares all chunks that
/// neither side changes.
package struct DenseMap<Key: Hashable, Value> {
    fileprivate struct Entry {
        let key: Key
        var value: Value
    }

    private var chunks: [[Entry]] = []
    /// The number of an entry in each place that is taken; `vacant` in the others.
    private var places: [UInt32] = []
    package private(set) var count = 0

    private static var vacant: UInt32 { .max }
    private static var chunkSize: Int { 256 }

    package init() {}

    package var isEmpty: Bool { count == 0 }

    package subscript(key: Key) -> Value? {
        get { entry(of: key).map { self[$0].value } }
        set {
            guard let newValue else {
                removeValue(forKey: key)
                return
            }
            if let entry = entry(of: key) {
                self[entry].value = newValue
            } else {
                append(key, newValue)
            }
        }
    }

    /// The value of a key; a key that is missing gets the default when it is written.
    package subscript(key: Key, default value: @autoclosure () -> Value) -> Value {
        get { self[key] ?? value() }
        _modify {
            if let entry = entry(of: key) {
                yield &self[entry].value
            } else {
                var new = value()
                yield &new
                append(key, new)
            }
        }
    }

    /// Changes a value where it is; returns nil if the key is missing.
    package mutating func update<Result>(
        _ key: Key,
        _ body: (inout Value) -> Result
    ) -> Result? {
        entry(of: key).map { body(&self[$0].value) }
    }

    /// Returns the key that is stored, which shares its memory with all who took it from here.
    package func key(_ key: Key) -> Key? { entry(of: key).map { self[$0].key } }

    @discardableResult
    package mutating func removeValue(forKey key: Key) -> Value? {
        guard let place = place(of: key) else { return nil }
        let entry = Int(places[place])
        let value = self[entry].value
        // The last entry takes the room, so that there are no gaps.
        let last = count - 1
        if entry != last {
            if let moved = self.place(of: self[last].key) { places[moved] = UInt32(entry) }
            self[entry] = self[last]
        }
        chunks[last / Self.chunkSize].removeLast()
        if chunks.last?.isEmpty == true { chunks.removeLast() }
        count = last
        vacate(place)
        if places.count > 64, count * 8 < places.count { rehash() }
        return value
    }

    package var keys: some Collection<Key> { chunks.lazy.joined().lazy.map(\.key) }

    package var values: some Collection<Value> { chunks.lazy.joined().lazy.map(\.value) }

    // MARK: Entries and places

    private subscript(entry: Int) -> Entry {
        get { chunks[entry / Self.chunkSize][entry % Self.chunkSize] }
        _modify { yield &chunks[entry / Self.chunkSize][entry % Self.chunkSize] }
    }

    private mutating func append(_ key: Key, _ value: Value) {
        if (count + 1) * 4 > places.count * 3 { rehash() }
        if count % Self.chunkSize == 0 {
            var chunk: [Entry] = []
            // Small tables grow as they need to.
            if count > 0 { chunk.reserveCapacity(Self.chunkSize) }
            chunks.append(chunk)
        }
        chunks[chunks.count - 1].append(Entry(key: key, value: value))
        places[freePlace(for: key)] = UInt32(count)
        count += 1
    }

    private func entry(of key: Key) -> Int? { place(of: key).map { Int(places[$0]) } }

    private func firstPlace(of key: Key) -> Int { key.hashValue & (places.count - 1) }

    private func place(of key: Key) -> Int? {
        guard !places.isEmpty else { return nil }
        var place = firstPlace(of: key)
        while places[place] != Self.vacant {
            if self[Int(places[place])].key == key { return place }
            place = (place + 1) & (places.count - 1)
        }
        return nil
    }

    private func freePlace(for key: Key) -> Int {
        var place = firstPlace(of: key)
        while places[place] != Self.vacant { place = (place + 1) & (places.count - 1) }
        return place
    }

    /// Makes a place vacant, and moves later ones forward that would no longer be found behind it.
    private mutating func vacate(_ place: Int) {
        let mask = places.count - 1
        var (gap, next) = (place, (place + 1) & mask)
        while places[next] != Self.vacant {
            let first = firstPlace(of: self[Int(places[next])].key)
            if (next - first) & mask >= (next - gap) & mask {
                places[gap] = places[next]
                gap = next
            }
            next = (next + 1) & mask
        }
        places[gap] = Self.vacant
    }

    /// Makes places for a third more entries than there are, or for half as many again.
    private mutating func rehash() {
        var size = 8
        while size * 3 < (count + 1) * 4 + count { size *= 2 }
        places = Array(repeating: Self.vacant, count: size)
        var number: UInt32 = 0
        for key in keys {
            places[freePlace(for: key)] = number
            number += 1
        }
    }
}

extension DenseMap: Sendable where Key: Sendable, Value: Sendable {}

extension DenseMap.Entry: Sendable where Key: Sendable, Value: Sendable {}

extension DenseMap: Equatable where Value: Equatable {
    /// Whether both have the same entries, in whatever order.
    package static func == (left: Self, right: Self) -> Bool {
        left.count == right.count
            && left.chunks.joined().allSatisfy { right[$0.key] == $0.value }
    }
}
