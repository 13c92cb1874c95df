/// The elements of one set, each with a key of its own, in the order in which they came.
///
/// A large cluster has hundreds of thousands of elements in a set. So an element is a record of
/// bytes, one after the other in one buffer, and is found through an open-addressed table of the
/// records' offsets: about 36 bytes for an endpoint of IPv4, where a dictionary of `Element` takes
/// 220 to 590.
package struct ElementTable: Sendable {
    /// Records: the lengths of key, last key, data and comment, one byte each, and these bytes.
    private var records: [UInt8] = []
    /// The offset of a record in each place that is taken; `vacant` in the others.
    private var places: [UInt32] = []
    /// The number of records, the removed ones included.
    private var recordCount = 0
    package private(set) var count = 0
    /// Keeps authors of Services from choosing keys that all fall on the same place.
    private let seed = UInt64.random(in: .min ... .max)

    private static let vacant = UInt32.max
    /// The bit of the first length that marks a removed record.
    private static let removed: UInt8 = 0x80
    private static let headerSize = 4

    package init() {}

    package init(_ elements: some Sequence<Element>) {
        for element in elements { insert(element) }
    }

    package var isEmpty: Bool { count == 0 }

    /// Adds an element, in place of one with the same key.
    ///
    /// - Returns: whether there was one
    @discardableResult
    package mutating func insert(_ element: Element) -> Bool {
        let wasThere = remove(element.key)
        if (recordCount + 1) * 4 > places.count * 3 { rehash() }
        let offset = records.count
        append(element)
        enter(UInt32(offset), hash(element.key))
        recordCount += 1
        count += 1
        return wasThere
    }

    /// Removes the element with this key; returns whether there was one.
    @discardableResult
    package mutating func remove(_ key: ElementBytes) -> Bool {
        guard let offset = offset(of: key) else { return false }
        records[offset] |= Self.removed
        count -= 1
        return true
    }

    /// Removes an element if there is exactly this one; returns whether there was.
    package mutating func take(_ element: Element) -> Bool {
        guard let offset = offset(of: element.key), read(offset) == element else { return false }
        records[offset] |= Self.removed
        count -= 1
        return true
    }

    package subscript(key: ElementBytes) -> Element? { offset(of: key).map(read) }

    package func forEach(_ body: (Element) -> Void) {
        var offset = 0
        while offset < records.count {
            if records[offset] & Self.removed == 0 { body(read(offset)) }
            offset += recordSize(at: offset)
        }
    }

    package var all: [Element] {
        var all: [Element] = []
        all.reserveCapacity(count)
        forEach { all.append($0) }
        return all
    }

    // MARK: Records

    private mutating func append(_ element: Element) {
        let comment = element.comment?.utf8
        records.append(element.key.count)
        records.append(element.keyEnd?.count ?? 0)
        records.append(element.data?.count ?? 0)
        records.append(UInt8(comment?.count ?? 0))
        element.key.withBytes { records += $0 }
        element.keyEnd?.withBytes { records += $0 }
        element.data?.withBytes { records += $0 }
        if let comment { records += comment }
    }

    private func recordSize(at offset: Int) -> Int {
        (1..<Self.headerSize).reduce(
            Self.headerSize + Int(records[offset] & ~Self.removed)
        ) { $0 + Int(records[offset + $1]) }
    }

    private func read(_ offset: Int) -> Element {
        records.withUnsafeBytes { bytes in
            var start = offset + Self.headerSize
            let next = { (count: UInt8) in
                defer { start += Int(count) }
                return UnsafeRawBufferPointer(rebasing: bytes[start..<(start + Int(count))])
            }
            let key = ElementBytes(next(bytes[offset] & ~Self.removed))
            let (end, data) = (next(bytes[offset + 1]), next(bytes[offset + 2]))
            let comment = next(bytes[offset + 3])
            return Element(
                key: key,
                keyEnd: end.isEmpty ? nil : ElementBytes(end),
                data: data.isEmpty ? nil : ElementBytes(data),
                comment: comment.isEmpty ? nil : String(decoding: comment, as: UTF8.self)
            )
        }
    }

    // MARK: Places

    private func offset(of key: ElementBytes) -> Int? {
        guard !places.isEmpty else { return nil }
        return records.withUnsafeBytes { bytes in
            key.withBytes { wanted in
                var place = Int(truncatingIfNeeded: hash(key)) & (places.count - 1)
                while places[place] != Self.vacant {
                    let offset = Int(places[place])
                    let start = offset + Self.headerSize
                    if Int(bytes[offset]) == wanted.count,
                        bytes[start..<(start + wanted.count)].elementsEqual(wanted)
                    {
                        return offset
                    }
                    place = (place + 1) & (places.count - 1)
                }
                return nil
            }
        }
    }

    private mutating func enter(_ offset: UInt32, _ hash: UInt64) {
        var place = Int(truncatingIfNeeded: hash) & (places.count - 1)
        while places[place] != Self.vacant { place = (place + 1) & (places.count - 1) }
        places[place] = offset
    }

    /// Makes room for as many elements again, and forgets removed ones.
    private mutating func rehash() {
        let kept = count == recordCount ? nil : all
        if let kept {
            records.removeAll(keepingCapacity: true)
            (recordCount, count) = (kept.count, kept.count)
            for element in kept { append(element) }
        }
        var size = 8
        while size * 3 < count * 8 { size *= 2 }
        places = Array(repeating: Self.vacant, count: size)
        var offset = 0
        while offset < records.count {
            let key = records.withUnsafeBytes { bytes in
                let start = offset + Self.headerSize
                let key = bytes[start..<(start + Int(bytes[offset]))]
                return ElementBytes(UnsafeRawBufferPointer(rebasing: key))
            }
            enter(UInt32(offset), hash(key))
            offset += recordSize(at: offset)
        }
    }

    private func hash(_ key: ElementBytes) -> UInt64 { key.hash(seed) }
}

extension ElementTable: Equatable {
    /// Whether both have the same elements, in whatever order.
    package static func == (left: Self, right: Self) -> Bool {
        var isEqual = left.count == right.count
        left.forEach { isEqual = isEqual && right[$0.key] == $0 }
        return isEqual
    }
}
