import KubernetesWire
import TestSupport
import Testing

private typealias P = ProtobufBytes

/// Hands out bytes in pieces of random sizes.
private struct Pieces {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { rest = bytes[...] }

    mutating func next(_ random: inout Seeded) -> [UInt8]? {
        guard !rest.isEmpty else { return nil }
        let largest = Bool.random(using: &random) ? 3 : 60
        let piece = rest.prefix(Int.random(in: 1...largest, using: &random))
        rest = rest.dropFirst(piece.count)
        return Array(piece)
    }
}

@Suite struct ListSplitterTests {
    private func parts<Splitter: ListSplitter>(
        _ bytes: some Sequence<UInt8>,
        _ splitter: inout Splitter,
        _ random: inout Seeded
    ) throws -> [ListPart] {
        var parts: [ListPart] = []
        var pieces = Pieces(Array(bytes))
        while let piece = pieces.next(&random) {
            splitter.append(piece)
            while let part = try splitter.next() { parts.append(part) }
        }
        return parts
    }

    /// An object with all that could be taken for the structure of the list.
    private func object(_ random: inout Seeded) -> String {
        let strings = [
            #""a""#, #""}{][""#, #""\"items\": [{""#, #""\\""#, #""é€😀""#, #""\u0022}""#, #""""#,
        ]
        let values =
            strings + ["1", "null", "[]", "{}", #"{"items": [{"b": 1}]}"#, "[[{}], \"]\"]"]
        let members = (0..<Int.random(in: 0...4, using: &random)).map { index in
            let name = ["items", "metadata", "kind", "x"].randomElement(using: &random) ?? ""
            return "\"\(name)\(index)\": \(values.randomElement(using: &random) ?? "")"
        }
        return "{\(members.joined(separator: ", "))}"
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `a list in JSON is the same however it arrives`(seed: UInt64) throws {
        var random = Seeded(seed)
        let items = (0..<Int.random(in: 0...6, using: &random)).map { _ in object(&random) }
        let metadata = object(&random)
        let blank = ["", " ", "\r\n\t"].randomElement(using: &random) ?? ""
        let members = [
            #""kind":\#(blank)"ServiceList""#, #""metadata":\#(blank)\#(metadata)"#,
            #""apiVersion": "v1""#, #""other": {"items": [{"no": 1}], "kind": "No"}"#,
            #""items": [\#(blank)\#(items.joined(separator: "\(blank),"))]"#,
        ]
        let text = "\(blank){\(members.joined(separator: ",\(blank)"))}\(blank)"
        var splitter = JSONListSplitter()
        var bytes = Array(text.utf8)
        // White space at the end comes after the list is complete.
        while bytes.last != UInt8(ascii: "}") { bytes.removeLast() }
        let last = bytes.removeLast()
        var found = try parts(bytes, &splitter, &random)
        #expect(!splitter.isComplete)
        found += try parts([last], &splitter, &random)
        #expect(splitter.isComplete)
        let wanted: [ListPart] =
            [.kind(Array("ServiceList".utf8)), .metadata(Array(metadata.utf8))]
            + items.map { .item(Array($0.utf8)) }
        #expect(found == wanted)
    }

    @Test(arguments: ["[]", "x", "1 {", "{}{", "{}]", "}"])
    func `what is no list in JSON is refused`(text: String) {
        var splitter = JSONListSplitter()
        splitter.append(Array(text.utf8))
        #expect(throws: WireError.self) { while try splitter.next() != nil {} }
    }

    @Test func `an object in JSON without end is refused at its limit`() throws {
        var splitter = JSONListSplitter()
        splitter.append(Array(#"{"items": [{"a": ""#.utf8))
        let piece = [UInt8](repeating: UInt8(ascii: "x"), count: 4 << 20)
        for _ in 0..<3 {
            splitter.append(piece)
            #expect(try splitter.next() == nil)
        }
        splitter.append(piece)
        #expect(throws: WireError.self) { _ = try splitter.next() }
    }

    // k8s.io/apimachinery/pkg/runtime/generated.proto: Unknown; serializer/protobuf: "k8s\0".
    private func envelope(_ raw: [UInt8]) -> [UInt8] {
        [0x6B, 0x38, 0x73, 0] + P.field(1, P.field(1, "v1") + P.field(2, "ServiceList"))
            + P.field(2, raw) + P.field(3, "") + P.field(4, "")
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `a list in protobuf is the same however it arrives`(seed: UInt64) throws {
        var random = Seeded(seed)
        let items = (0..<Int.random(in: 0...6, using: &random)).map { _ in
            (0..<Int.random(in: 0...300, using: &random)).map { _ in
                UInt8.random(in: 0 ... .max, using: &random)
            }
        }
        let metadata = P.field(2, "17")
        // Fields of other kinds are passed over: a number, 8 bytes, 4 bytes, bytes.
        let strange =
            P.field(9, 300) + [9 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8] + [9 << 3 | 5, 1, 2, 3, 4]
            + P.field(10, "strange")
        let raw = P.field(1, metadata) + strange + items.flatMap { P.field(2, $0) }
        var splitter = ProtobufListSplitter()
        let bytes = envelope(raw)
        // The envelope ends with two empty fields, of two bytes each.
        var found = try parts(bytes.dropLast(5), &splitter, &random)
        #expect(!splitter.isComplete)
        found += try parts(bytes.suffix(5), &splitter, &random)
        #expect(splitter.isComplete)
        let kind = P.field(1, "v1") + P.field(2, "ServiceList")
        #expect(found == [.kind(kind), .metadata(metadata)] + items.map { .item($0) })
    }

    @Test func `what is no list in protobuf is refused`() {
        let huge = P.varint(2 << 3 | 2) + P.varint(UInt64(largestFrame) + 1)
        let magic: [UInt8] = [0x6B, 0x38, 0x73, 0]
        for bytes in [
            Array("{\"kind\"".utf8),
            magic + [0x0B],  // a group
            magic + [0x02, 0x01, 0x00],  // field 0
            magic + [UInt8](repeating: 0xFF, count: 11),
            envelope(huge + [1, 2, 3]),
            // An item that is longer than what is left of the list.
            magic + P.varint(2 << 3 | 2) + [3] + P.varint(2 << 3 | 2) + [9]
                + [UInt8](repeating: 0, count: 9),
            magic + P.field(2, P.field(2, "a")) + P.field(2, P.field(2, "b")),
        ] {
            var splitter = ProtobufListSplitter()
            splitter.append(bytes)
            #expect(throws: WireError.self, "\(bytes)") { while try splitter.next() != nil {} }
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `bytes of any kind neither trap nor end in a complete list by chance`(seed: UInt64) {
        var random = Seeded(seed)
        for _ in 0..<50 {
            var bytes = envelope(P.field(1, P.field(2, "17")) + P.field(2, "item"))
            for _ in 0..<3 {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(
                    in: 0 ... .max,
                    using: &random
                )
            }
            var splitter = ProtobufListSplitter()
            splitter.append(bytes)
            var count = 0
            while let part = try? splitter.next() {
                count += 1
                if case .item(let item) = part { #expect(item.count < bytes.count) }
            }
            #expect(count <= bytes.count)
        }
    }
}

@Suite struct WatchSplitterTests {
    private func events<Splitter: WatchSplitter>(
        _ bytes: [UInt8],
        _ splitter: inout Splitter,
        _ random: inout Seeded
    ) throws -> [[UInt8]] {
        var events: [[UInt8]] = []
        var pieces = Pieces(bytes)
        while let piece = pieces.next(&random) {
            splitter.append(piece)
            while let event = try splitter.next() { events.append(event) }
        }
        return events
    }

    private func frames(_ random: inout Seeded, without byte: UInt8? = nil) -> [[UInt8]] {
        (0..<Int.random(in: 1...10, using: &random)).map { _ in
            (0..<Int.random(in: 1...200, using: &random)).map { _ in
                let value = UInt8.random(in: 0 ... .max, using: &random)
                return value == byte ? 0 : value
            }
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `lines are events, and what is behind the last is left over`(seed: UInt64) throws {
        var random = Seeded(seed)
        let lines = frames(&random, without: UInt8(ascii: "\n"))
        // Empty lines keep a connection alive, and are no events.
        var text: [UInt8] = []
        for line in lines {
            text += line + [UInt8](repeating: 10, count: Bool.random(using: &random) ? 1 : 2)
        }
        var splitter = LineSplitter()
        #expect(try events(text + [1, 2, 3], &splitter, &random) == lines)
        #expect(splitter.rest() == [1, 2, 3])
        #expect(splitter.rest() == nil)
    }

    // k8s.io/apimachinery/pkg/util/framer: a length of four bytes, the highest first.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `frames are events, and a part of one is left over`(seed: UInt64) throws {
        var random = Seeded(seed)
        let frames = frames(&random)
        let head = { (count: Int) in withUnsafeBytes(of: UInt32(count).bigEndian, Array.init) }
        let bytes = frames.flatMap { head($0.count) + $0 }
        var splitter = LengthSplitter()
        #expect(try events(bytes + head(9) + [7], &splitter, &random) == frames)
        #expect(splitter.rest() == head(9) + [7])
        #expect(splitter.rest() == nil)
    }

    @Test func `an event of more than the limit is refused before it arrives`() {
        var frames = LengthSplitter()
        frames.append([0x01, 0x00, 0x00, 0x01])
        #expect(throws: WireError.self) { _ = try frames.next() }
        var lines = LineSplitter()
        lines.append([UInt8](repeating: 1, count: largestFrame + 1))
        #expect(throws: WireError.self) { _ = try lines.next() }
    }

    @Test func `the largest event is read`() throws {
        var frames = LengthSplitter()
        frames.append([0x01, 0x00, 0x00, 0x00] + [UInt8](repeating: 1, count: largestFrame))
        #expect(try frames.next()?.count == largestFrame)
    }
}

@Suite struct JSONMembersTests {
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `each member has the bytes that were written`(seed: UInt64) throws {
        var random = Seeded(seed)
        let values = [
            "1", "null", #""a,b""#, #"{"a": [1, {"b": "}"}]}"#, "[1, [2, {}]]", #""\"""#, "true",
        ]
        let members = (0..<Int.random(in: 1...8, using: &random)).map {
            ("name\($0)", values.randomElement(using: &random) ?? "")
        }
        let text = members.map { "\"\($0)\":\($1)" }.joined(separator: ",")
        let object = try JSONMembers(Array(" {\(text)} ".utf8))
        for (name, value) in members {
            #expect(object[name].map { String(decoding: $0, as: UTF8.self) } == value)
        }
        #expect(object["other"] == nil)
    }

    @Test func `of a member that is given twice the last counts, as in Go`() throws {
        let object = try JSONMembers(Array(#"{"a": 1, "b": 2, "a": 3}"#.utf8))
        #expect(object["a"].map { String(decoding: $0, as: UTF8.self) } == " 3")
    }

    @Test(
        arguments: [
            "", " ", "[]", "{", "{\"a\": 1", "{\"a", "{}}", "x{}", "{\"a\": \"b}", "{\"a\": \"\\",
            "{\"a\": [}",
        ]
    )
    func `what is no object, or ends in the middle, is refused`(text: String) {
        #expect(throws: WireError.self) { _ = try JSONMembers(Array(text.utf8)) }
    }
}
