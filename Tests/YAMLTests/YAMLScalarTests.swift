import Testing
import YAML

@Suite struct YAMLScalarTests {
    private func scalar(_ text: String) throws -> YAMLScalar {
        let document = try #require(try YAMLReader.documents(in: text).first)
        return try #require(document.scalar)
    }

    // https://yaml.org/type/null.html
    @Test(
        arguments: [
            ("~", true), ("null", true), ("Null", true), ("NULL", true), ("nUll", false),
            ("'null'", false), ("\"~\"", false), ("!!str null", false),
        ]
    )
    func `null is plain`(text: String, isNull: Bool) throws {
        #expect(try scalar(text).isNull == isNull)
    }

    // https://yaml.org/type/float.html, but for numbers to base 60.
    @Test(
        arguments: [
            ("1.5", 1.5), ("-0.5", -0.5), ("+1e3", 1000), ("1_000.5", 1000.5), ("7", 7),
            (".inf", .infinity), ("-.INF", -.infinity), ("'1.5'", nil), ("1.2.3", nil),
            ("1:30", nil), ("0x1p3", nil), ("infinity", nil), ("e", nil),
        ] as [(String, Double?)]
    )
    func `numbers are YAML 1_1's`(text: String, value: Double?) throws {
        #expect(try scalar(text).number == value)
    }

    @Test func `not a number is none that equals itself`() throws {
        #expect(try scalar(".NaN").number?.isNaN == true)
    }

    @Test func `a whole number keeps its type's limits`() throws {
        #expect(try scalar("255").integer(UInt8.self) == 255)
        #expect(try scalar("256").integer(UInt8.self) == nil)
        #expect(try scalar("-1").integer(UInt8.self) == nil)
        #expect(try scalar("-9223372036854775808").integer(Int64.self) == .min)
        #expect(try scalar("80.0").integer(UInt16.self) == 80)
        #expect(try scalar("80.5").integer(UInt16.self) == nil)
    }

    // YAML 1.1, 9.2.1: literal and folded scalars, and their chomping.
    @Test(
        arguments: [
            ("|\n  a\n  b\n", "a\nb\n"), ("|-\n  a\n  b\n", "a\nb"), (">\n  a\n  b\n", "a b\n"),
            ("|+\n  a\n\n", "a\n\n"), ("\"a\\tb\\u00e9\"", "a\tb\u{E9}"), ("'it''s'", "it's"),
            ("a  b # comment", "a  b"), ("a#b", "a#b"),
        ]
    )
    func `text has the form that it was written in`(text: String, value: String) throws {
        #expect(try scalar(text).text == value)
    }
}

@Suite struct YAMLDecoderTests {
    private struct Numbers: Decodable, Equatable {
        var a: Int8?
        var b: UInt64?
        var c: Double?
        var d: Float?
        var e: [Int16]?
        var f: [String: Bool]?
    }

    private func decode<Value: Decodable>(_: Value.Type, _ text: String) throws -> Value {
        let node = try #require(try YAMLReader.documents(in: text).first)
        return try YAMLDecoder().decode(Value.self, from: node)
    }

    @Test func `every width of number is read, and absent or null is nil`() throws {
        let numbers = try decode(
            Numbers.self,
            """
            a: -128
            b: 18446744073709551615
            c: 1e-3
            d: 0.5
            e: [0x10, 017, 0b11]
            f: {x: yes, y: off}
            """
        )
        #expect(
            numbers
                == Numbers(
                    a: -128,
                    b: .max,
                    c: 0.001,
                    d: 0.5,
                    e: [16, 15, 3],
                    f: ["x": true, "y": false]
                )
        )
        #expect(try decode(Numbers.self, "{a: ~, b: null, c: }") == Numbers())
    }

    @Test(
        arguments: [
            ("a: 128", "a"), ("b: -1", "b"), ("c: x", "c"), ("e: [1, 2, 99999]", "e.2"),
            ("f: {x: 'yes'}", "f.x"), ("f: [x]", "f"), ("e: 1", "e"), ("a: [1]", "a"),
            ("a: {b: 1}", "a"),
        ]
    )
    func `a value that does not fit is told with its path`(text: String, path: String) {
        let error = #expect(throws: DecodingError.self) { _ = try decode(Numbers.self, text) }
        guard case .typeMismatch(_, let context) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        let found = context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }
        #expect(found.joined(separator: ".") == path)
    }

    private struct Pair: Decodable {
        let first: String
        let second: Int
        let isAtEnd: Bool

        init(from decoder: any Decoder) throws {
            var list = try decoder.unkeyedContainer()
            first = try list.decode(String.self)
            // A null is passed over, anything else is not.
            if try list.decodeNil() { second = -1 } else { second = try list.decode(Int.self) }
            isAtEnd = list.isAtEnd
        }
    }

    @Test func `a list is read one by one`() throws {
        let pair = try decode(Pair.self, "[a, 5]")
        #expect(pair.first == "a" && pair.second == 5 && pair.isAtEnd)
        #expect(try decode(Pair.self, "[a, ~, x]").second == -1)
        #expect(throws: DecodingError.self) { _ = try decode(Pair.self, "[a]") }
        #expect(throws: DecodingError.self) { _ = try decode(Pair.self, "{a: 5}") }
    }

    private struct Required: Decodable { let name: String }

    @Test func `what is missing is named`() {
        let error = #expect(throws: DecodingError.self) {
            _ = try decode([Required].self, "[{name: a}, {nam: b}]")
        }
        guard case .keyNotFound(let key, let context) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(key.stringValue == "name")
        #expect(context.codingPath.map(\.intValue) == [1])
    }
}
