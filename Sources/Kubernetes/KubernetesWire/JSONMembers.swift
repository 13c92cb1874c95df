/// The members of a JSON object, each with the bytes of its value as written.
///
/// The parser looks at brackets and strings only, so an unreadable value does not affect the
/// others.
package struct JSONMembers {
    private let bytes: [UInt8]
    private var values: [[UInt8]: Range<Int>] = [:]

    /// Throws if the brackets do not match, or if the text is not an object.
    package init(_ bytes: [UInt8]) throws(WireError) {
        self.bytes = bytes
        var depth = 0
        var key: [UInt8] = []
        var start = 0
        var string: Range<Int>?
        var position = 0
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                let begin = position
                while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
                    position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
                }
                guard position < bytes.count else { throw WireError("a string does not end") }
                string = begin..<position
                position += 1
            case UInt8(ascii: ":") where depth == 1:
                key = string.map { Array(bytes[$0]) } ?? []
                start = position
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                guard depth > 0 || byte == UInt8(ascii: "{") && start == 0 else {
                    throw WireError("it is no JSON object")
                }
                depth += 1
                if depth == 1 { start = position }
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 1, !key.isEmpty { values[key] = start..<(position - 1) }
                depth -= 1
                guard depth >= 0 else { throw WireError("a bracket too many") }
            case UInt8(ascii: ",") where depth == 1:
                if !key.isEmpty { values[key] = start..<(position - 1) }
                key = []
            default:
                guard depth > 0 || isBlank(byte) else { throw WireError("it is no JSON object") }
            }
        }
        guard depth == 0, start > 0 else { throw WireError("it ends in the middle") }
    }

    package subscript(_ name: String) -> [UInt8]? {
        values[Array(name.utf8)].map { Array(bytes[$0]) }
    }
}

private func isBlank(_ byte: UInt8) -> Bool { [0x20, 0x0A, 0x0D, 0x09].contains(byte) }
