/// Splits a list in protobuf: the magic bytes, then an `Unknown` whose `raw` field holds the list.
package struct ProtobufListSplitter: ListSplitter {
    private var bytes: [UInt8] = []
    private var start = 0
    private var hasMagic = false
    /// The number of bytes of `raw` that are still to come; nil outside `raw`.
    private var rawLeft: Int?
    private var hasRaw = false

    package init() {}

    package var isComplete: Bool { hasRaw && rawLeft == nil && start == bytes.count }

    package mutating func append(_ more: [UInt8]) {
        bytes.removeFirst(start)
        start = 0
        bytes += more
    }

    package mutating func next() throws(WireError) -> ListPart? {
        if !hasMagic {
            guard bytes.count >= envelopeMagic.count else { return nil }
            guard bytes.starts(with: envelopeMagic) else {
                throw WireError(
                    "this is no protobuf of an API server: it does not begin with k8s\\0"
                )
            }
            (hasMagic, start) = (true, envelopeMagic.count)
        }
        while true {
            if rawLeft == 0 { rawLeft = nil }
            guard let field = try nextField() else { return nil }
            let isInside = rawLeft != nil
            if !isInside, field.number == 2, field.isBytes {
                guard !hasRaw else { throw WireError("the envelope has two contents") }
                (hasRaw, rawLeft) = (true, field.payload.count)
                start = field.payload.lowerBound
                continue
            }
            guard bytes.count >= field.payload.upperBound else { return nil }
            if let left = rawLeft {
                guard field.payload.upperBound - start <= left else {
                    throw WireError("an item passes the end of the list")
                }
                rawLeft = left - (field.payload.upperBound - start)
            }
            start = field.payload.upperBound
            switch (isInside, field.number, field.isBytes) {
            case (false, 1, true): return .kind(Array(bytes[field.payload]))
            case (true, 1, true): return .metadata(Array(bytes[field.payload]))
            case (true, 2, true): return .item(Array(bytes[field.payload]))
            default: continue
            }
        }
    }

    private struct FieldHead {
        let number: UInt64
        let isBytes: Bool
        /// The range of the payload, which may extend beyond the bytes that have arrived.
        let payload: Range<Int>
    }

    /// Reads the head of the field at `start`; nil if it has not arrived yet.
    private func nextField() throws(WireError) -> FieldHead? {
        var position = start
        guard let tag = try varint(&position) else { return nil }
        let size: Int
        switch tag & 7 {
        case 0:
            let begin = position
            guard try varint(&position) != nil else { return nil }
            (size, position) = (position - begin, begin)
        case 1: size = 8
        case 2:
            guard let length = try varint(&position) else { return nil }
            // The content of the envelope is the list itself, of any size.
            let isContent = rawLeft == nil && tag >> 3 == 2
            guard length <= UInt64(isContent ? 1 << 40 : largestFrame) else {
                throw WireError("an object of \(length) bytes; \(largestFrame) are the limit")
            }
            size = Int(length)
        case 5: size = 4
        default: throw WireError("a field of wire type \(tag & 7)")
        }
        guard tag >> 3 != 0 else { throw WireError("a field without a number") }
        return FieldHead(
            number: tag >> 3,
            isBytes: tag & 7 == 2,
            payload: position..<(position + size)
        )
    }

    /// Reads a varint and moves the position behind it; nil if it has not arrived completely.
    private func varint(_ position: inout Int) throws(WireError) -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: 0, to: 70, by: 7) {
            guard position < bytes.count else { return nil }
            let byte = bytes[position]
            position += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw WireError("a number of more than 10 bytes")
    }
}

/// The magic bytes before every `Unknown`: `k8s\0`.
package let envelopeMagic: [UInt8] = [0x6B, 0x38, 0x73, 0x00]
