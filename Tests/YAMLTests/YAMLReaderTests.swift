import Testing
import YAML

@Suite struct YAMLReaderTests {
    private func node(_ text: String) throws -> YAMLNode {
        try #require(YAMLReader.documents(in: text).first)
    }

    @Test func `documents come in their order, with the lines of their parts`() throws {
        let documents = try YAMLReader.documents(in: "a: 1\nb:\n  - x\n  - y\n---\n\"c\"\n")
        #expect(documents.count == 2)
        #expect(documents[0]["b"]?.sequence?.map(\.text) == ["x", "y"])
        #expect(documents[0]["b"]?.sequence?.map(\.line) == [3, 4])
        #expect(documents[1].text == "c" && documents[1].line == 6)
    }

    @Test func `nothing is no document, and a byte order mark is nothing`() throws {
        #expect(try YAMLReader.documents(in: "").isEmpty)
        #expect(try YAMLReader.documents(in: "# only this\n").isEmpty)
        #expect(try node("\u{FEFF}a: 1")["a"]?.text == "1")
        #expect(try YAMLReader.documents(in: "---\n---\n").map(\.isNull) == [true, true])
    }

    @Test(arguments: [
        ("1", 1), ("-7", -7), ("+7", 7), ("0x1F", 31), ("0o17", 15), ("017", 15), ("0b101", 5),
        ("1_000", 1000), ("32768.0", 32768), ("1e3", 1000), ("0", 0), ("1.5", nil), ("\"1\"", nil),
        ("!!str 1", nil), ("a", nil), ("99999999999999999999", nil), ("- 1", nil), ("--1", nil),
    ])
    func `whole numbers mean what YAML 1.1 says`(text: String, value: Int?) throws {
        #expect(try node(text).scalar?.integer(Int.self) == value)
    }

    @Test func `a number that does not fit is none`() throws {
        #expect(try node("70000").scalar?.integer(UInt16.self) == nil)
        #expect(try node("-1").scalar?.integer(UInt16.self) == nil)
        #expect(try node("1e300").scalar?.integer(Int.self) == nil)
    }

    @Test(arguments: [
        ("true", true), ("Yes", true), ("off", false), ("\"true\"", nil), ("1", nil), ("y", nil),
    ])
    func `truth is plain`(text: String, value: Bool?) throws {
        #expect(try node(text).scalar?.bool == value)
    }

    @Test func `aliases and merge keys bring what they stand for`() throws {
        let root = try node(
            """
            base: &base {a: 1, b: 2}
            other: &other {b: 3, c: 4}
            one: {<<: *base, a: 5}
            two: {<<: [*base, *other]}
            """
        )
        #expect(root["one"]?["a"]?.text == "5")
        #expect(root["one"]?["b"]?.text == "2")
        #expect(root["two"]?["b"]?.text == "2")
        #expect(root["two"]?["c"]?.text == "4")
    }

    // Ten aliases on each of ten levels expand to ten thousand million parts.
    @Test func `aliases do not make much of little`() throws {
        var text = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1..<10 {
            let list = Array(repeating: "*l\(level - 1)", count: 10).joined(separator: ", ")
            text += "l\(level): &l\(level) [\(list)]\n"
        }
        let error = #expect(throws: YAMLError.self) { try YAMLReader.documents(in: text) }
        #expect(
            error?.description.contains("aliases stand for too much; write them out in line")
                == true
        )
    }

    @Test func `depth is bounded`() {
        #expect(throws: YAMLError.self) {
            try YAMLReader.documents(in: String(repeating: "[", count: 100_000))
        }
        #expect(throws: YAMLError.self) {
            try YAMLReader.documents(
                in: String(repeating: "[", count: 300) + String(repeating: "]", count: 300)
            )
        }
    }

    @Test(arguments: ["a: [1, 2", "a: b: c", "\ta: 1", "*nobody", "? [a]\n: b", "a: \"x", "%x"])
    func `what is no YAML is an error with a line`(text: String) {
        let error = #expect(throws: YAMLError.self) { try YAMLReader.documents(in: text) }
        #expect(error?.line != nil)
    }

    @Test func `of a key that is given twice the last counts`() throws {
        let root = try node("a: 1\na: 2\n")
        #expect(root["a"]?.text == "2")
        #expect(root.mapping?.count == 2)
    }

    @Test(arguments: [
        ("a: 1", nil), ("a: 1\n---\n", nil), ("a: 1\n---\nb: 2", 3), ("a: 1\n---\n[", 2),
        ("a: 1\n...\n# end\n", nil),
    ])
    func `of several documents the first is read, and where another begins`(
        text: String,
        line: Int?
    ) throws {
        let (root, following) = try YAMLReader.firstDocument(in: text)
        #expect(root?["a"]?.text == "1" && following == line)
    }

    private struct Sample: Decodable, Equatable {
        var name: String
        var port: UInt16?
        var ready: Bool?
        var list: [Int]
        var labels: [String: String]
    }

    @Test func `values are decoded`() throws {
        let text = "{name: 12, port: 0x50, ready: ~, list: [1, 2.0], labels: {a: yes, b: 1}}"
        let sample = try YAMLDecoder().decode(Sample.self, from: try node(text))
        #expect(
            sample
                == Sample(
                    name: "12",
                    port: 80,
                    ready: nil,
                    list: [1, 2],
                    labels: ["a": "yes", "b": "1"]
                )
        )
    }

    @Test(arguments: [
        ("{name: a, list: [x], labels: {}}", "list.0"),
        ("{name: a, port: 70000, list: [], labels: {}}", "port"),
        ("{name: [a], list: [], labels: {}}", "name"), ("{list: [], labels: {}}", ""),
        ("{name: a, list: {}, labels: {}}", "list"), ("[]", ""),
    ])
    func `what does not fit is told with its path`(text: String, path: String) throws {
        let node = try node(text)
        let error = #expect(throws: DecodingError.self) {
            try YAMLDecoder().decode(Sample.self, from: node)
        }
        let found: [any CodingKey]? =
            switch error {
            case .typeMismatch(_, let context), .keyNotFound(_, let context),
                .valueNotFound(_, let context), .dataCorrupted(let context):
                context.codingPath
            default: nil
            }
        #expect(found?.map(\.stringValue).joined(separator: ".") == path)
    }
}
