/// The layout of the objects that libnftnl reads, as Linux 6.18 and nft send them.
///
/// libnftnl ends the process if an attribute has another size than it expects (`abi_breakage`), so a
/// fuzzer that sends it such attributes finds nothing else. Their values, order and number are free.
enum LibraryLayout {
    /// A line for each kind of object, nest or expression (`@name`), with its attributes: a size in bytes,
    /// s: a text that ends with a zero, v: up to 256 bytes, n: a nest with a line of its own, d: data of an
    /// expression, e: an expression, l: a list of expressions.
    private static let text = """
        @bitwise 1:4 2:4 3:4 4:d 5:d 6:4 7:d
        @byteorder 1:4 2:4 3:4 4:4 5:4
        @cmp 1:4 2:4 3:d
        @connlimit 1:4 2:4
        @counter 1:8 2:8
        @ct 1:4 2:4 3:1 4:4
        @dup 1:4
        @dynset 1:s 3:4 4:4 6:8 7:e 9:4
        @exthdr 1:4 2:1 3:4 4:4 5:4 6:4 7:4
        @fib 1:4 2:4 3:4
        @hash 1:4 2:4 3:4 4:4 5:4 7:4
        @immediate 1:4 2:d
        @limit 1:8 2:8 3:4 4:4 5:4
        @log 2:s 5:4
        @lookup 1:s 2:4 3:4 5:4
        @masq 1:4 2:4 3:4
        @match 1:s 2:4 3:168|24|256
        @meta 1:4 2:4 3:4
        @nat 1:4 2:4 3:4 4:4 5:4 6:4 7:4
        @notrack
        @numgen 1:4 2:4 3:4 4:4
        @objref 1:4 2:s
        @payload 1:4 2:4 3:4 4:4 5:4 6:4 7:4 8:4
        @quota 1:8 2:4 4:8
        @range 1:4 2:4 3:d 4:d
        @redir 1:4 2:4 3:4
        @reject 1:4 2:1
        @rt 1:4 2:4
        @socket 1:4 2:4
        @target 1:s 2:4 3:24|32|8
        chain 1:s 2:8 3:s 4:n 5:4 6:4 7:s 10:4
        chain/4 1:4 2:4 3:s 4:n
        chain/4/4 1:s
        data 1:v
        expr 1:s
        rule 1:s 2:s 3:8 4:l 6:8
        set 1:s 2:s 3:4 4:4 5:4 6:4 7:4 9:n 11:8 13:v 16:8 17:e 19:s 20:4
        set/9 1:4
        verdict 1:4 2:s
        """

    private static let fields: [String: [Int: [Substring]]] = {
        var fields: [String: [Int: [Substring]]] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            fields[String(words[0])] = words.dropFirst().reduce(into: [:]) { result, word in
                let parts = word.split(separator: ":")
                if let type = Int(parts[0]) { result[type] = parts[1].split(separator: "|") }
            }
        }
        return fields
    }()

    /// Whether libnftnl may get a message, if the request is one whose answers it reads.
    static func allows(answering request: UInt16, payload: [UInt8]) -> Bool {
        // NFT_MSG_GETCHAIN, …_GETRULE and …_GETSET
        let kinds: [UInt16: String] = [
            10 << 8 | 4: "chain", 10 << 8 | 7: "rule", 10 << 8 | 10: "set",
        ]
        guard let kind = kinds[request] else { return true }
        return payload.count >= 4 && allows(payload[4...], kind)
    }

    private static func allows(_ bytes: ArraySlice<UInt8>, _ kind: String) -> Bool {
        guard let known = fields[kind], let attributes = attributes(bytes) else { return false }
        return attributes.allSatisfy { type, value in
            known[type]?.contains { allows(value, $0, "\(kind)/\(type)") } ?? false
        }
    }

    private static func allows(_ value: ArraySlice<UInt8>, _ form: Substring, _ path: String)
        -> Bool
    {
        switch form {
        case "s": value.count <= 128 && value.last == 0
        case "v": value.count <= (path == "data/1" ? 64 : 256)
        case "n": allows(value, path)
        case "d": allowsData(value)
        case "e": allowsExpression(value)
        case "l":
            attributes(value)?.allSatisfy { $0.type == 1 && allowsExpression($0.value) } ?? false
        default: Int(form) == value.count
        }
    }

    /// A value, or a verdict.
    private static func allowsData(_ bytes: ArraySlice<UInt8>) -> Bool {
        attributes(bytes)?.allSatisfy { type, value in
            type == 2 ? allows(value, "verdict") : type == 1 && value.count <= 64
        } ?? false
    }

    private static func allowsExpression(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard let all = attributes(bytes), all.allSatisfy({ $0.type == 1 || $0.type == 2 }),
            let name = all.first(where: { $0.type == 1 })?.value, name.last == 0
        else { return false }
        let kind = "@" + String(decoding: name.dropLast(), as: UTF8.self)
        return all.filter { $0.type == 1 }.count == 1
            && all.allSatisfy { $0.type == 1 || allows($0.value, kind) }
    }

    /// Nil if the bytes are anything but attributes.
    private static func attributes(
        _ bytes: ArraySlice<UInt8>
    ) -> [(type: Int, value: ArraySlice<UInt8>)]? {
        var found: [(Int, ArraySlice<UInt8>)] = []
        var rest = bytes
        while rest.count >= 4 {
            let start = rest.startIndex
            let length = Int(rest[start]) | Int(rest[start + 1]) << 8
            guard length >= 4, length <= rest.count else { return nil }
            found.append((Int(rest[start + 2]), rest[start + 4..<start + length]))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return rest.isEmpty ? found : nil
    }
}
