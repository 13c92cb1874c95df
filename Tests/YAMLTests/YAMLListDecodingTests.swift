import Testing
import YAML

@Suite struct YAMLListDecodingTests {
    /// Reads lists in ways in which they cannot be read, and then in one in which they can.
    private struct Stubborn: Decodable {
        let failures: Int
        let numbers: [Int]

        private enum Key: CodingKey { case a }

        init(from decoder: any Decoder) throws {
            var list = try decoder.unkeyedContainer()
            var failures = 0
            func attempt(_ body: () throws -> Void) {
                do { try body() } catch { failures += 1 }
            }
            var numbers: [Int] = []
            while !list.isAtEnd {
                attempt { _ = try list.nestedContainer(keyedBy: Key.self) }
                attempt { _ = try list.nestedUnkeyedContainer() }
                attempt { _ = try list.decode(Bool.self) }
                numbers.append(try list.decode(Int.self))
            }
            attempt { _ = try list.nestedContainer(keyedBy: Key.self) }
            attempt { _ = try list.nestedUnkeyedContainer() }
            attempt { _ = try list.superDecoder() }
            attempt { _ = try list.decode(Int.self) }
            (self.failures, self.numbers) = (failures, numbers)
        }
    }

    @Test(arguments: ["[]", "[1]", "[1, 2]"])
    func `an element that cannot be read stays the next one`(text: String) throws {
        let root = try #require(try YAMLReader.documents(in: text).first)
        let read = try YAMLDecoder().decode(Stubborn.self, from: root)
        #expect(read.numbers == Array([1, 2].prefix(read.numbers.count)))
        #expect(read.numbers.count == root.sequence?.count)
        #expect(read.failures == 3 * read.numbers.count + 4)
    }

    @Test func `what a decoder hands on is read like the element itself`() throws {
        struct Handed: Decodable {
            let words: [String]

            init(from decoder: any Decoder) throws {
                var list = try decoder.unkeyedContainer()
                var inner = try list.nestedUnkeyedContainer()
                words = [try inner.decode(String.self), try String(from: list.superDecoder())]
            }
        }
        let root = try #require(try YAMLReader.documents(in: "[[a], b]").first)
        #expect(try YAMLDecoder().decode(Handed.self, from: root).words == ["a", "b"])
    }
}
