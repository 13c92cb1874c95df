/// Splits a list in JSON: an object with `kind`, `metadata` and `items`.
///
/// The splitter looks at brackets and strings only; the decoder of a part finds what is wrong
/// inside.
package struct JSONListSplitter: ListSplitter {
    private var bytes: [UInt8] = []
    /// The number of bytes in `bytes` that have been scanned.
    private var position = 0
    private var depth = 0
    private var hasBegun = false
    private var isInString = false
    private var isEscaped = false
    /// The offset at which the part that is being read begins; nil between parts.
    private var partStart: Int?
    /// The content of the last string directly in the list object.
    private var text: [UInt8] = []
    private var key: [UInt8] = []

    package init() {}

    package var isComplete: Bool { hasBegun && depth == 0 }

    package mutating func append(_ more: [UInt8]) {
        let done = partStart ?? position
        bytes.removeFirst(done)
        position -= done
        if partStart != nil { partStart = 0 }
        bytes += more
    }

    package mutating func next() throws(WireError) -> ListPart? {
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if isInString {
                readString(byte)
            } else if let part = try readStructure(byte) {
                return part
            }
        }
        guard bytes.count - (partStart ?? position) <= largestFrame, text.count <= largestFrame
        else { throw WireError("an object of more than \(largestFrame) bytes") }
        return nil
    }

    private mutating func readString(_ byte: UInt8) {
        if isEscaped {
            isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
            isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
            isInString = false
            return
        }
        if depth == 1 { text.append(byte) }
    }

    private mutating func readStructure(_ byte: UInt8) throws(WireError) -> ListPart? {
        switch byte {
        case UInt8(ascii: "\""):
            isInString = true
            if depth == 1 { text = [] }
        case UInt8(ascii: ":") where depth == 1: key = text
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            guard depth > 0 || byte == UInt8(ascii: "{") && !hasBegun else {
                throw WireError("this is no list in JSON")
            }
            hasBegun = true
            depth += 1
            if isPart(depth) { partStart = position - 1 }
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            guard depth > 0 else { throw WireError("a bracket too many") }
            defer { depth -= 1 }
            if isPart(depth), let start = partStart {
                partStart = nil
                let content = Array(bytes[start..<position])
                return key == Array("items".utf8) ? .item(content) : .metadata(content)
            }
            if depth == 1 { return endOfMember() }
        case UInt8(ascii: ",") where depth == 1: return endOfMember()
        case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"): break
        default: guard depth > 0 else { throw WireError("this is no list in JSON") }
        }
        return nil
    }

    /// Whether a bracket at this depth begins or ends a part: the value of `metadata`, or an
    /// element of `items`.
    private func isPart(_ depth: Int) -> Bool {
        depth == 2 && key == Array("metadata".utf8) || depth == 3 && key == Array("items".utf8)
    }

    private mutating func endOfMember() -> ListPart? {
        defer { key = [] }
        return key == Array("kind".utf8) ? .kind(text) : nil
    }
}
