import Testing
import YAML

/// A value, written in any of the ways that YAML has.
private indirect enum Tree: Equatable {
    case text(String)
    case list([Tree])
    case map([(String, Tree)])

    static func == (left: Tree, right: Tree) -> Bool {
        switch (left, right) {
        case (.text(let left), .text(let right)): left == right
        case (.list(let left), .list(let right)): left == right
        case (.map(let left), .map(let right)):
            left.map(\.0) == right.map(\.0) && left.map(\.1) == right.map(\.1)
        default: false
        }
    }

    init(_ node: YAMLNode) {
        switch node.content {
        case .scalar(let scalar): self = .text(scalar.text)
        case .sequence(let list): self = .list(list.map(Tree.init))
        case .mapping(let entries): self = .map(entries.map { ($0.key, Tree($0.value)) })
        }
    }
}

/// SplitMix64, whose seed is the test's argument.
private struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

@Suite struct YAMLTreeTests {
    private static let texts = [
        "", "a", "10.96.0.1", "true", "~", "a: b", "- a", "# no comment", "it's", "\"quoted\"",
        "line\nline", "tab\t", " spaces ", "é😀", "{", "[x", "&a", "*a", "!t", "%d", "@", "\\n",
        "x,y",
        "0x10", "null", "=", "<<", "key:", "a #b", "\u{1B}",
    ]

    private func tree(_ depth: Int, _ random: inout Generator) -> Tree {
        switch depth > 0 ? Int.random(in: 0..<3, using: &random) : 0 {
        case 1:
            return .list(
                (0..<Int.random(in: 0...3, using: &random)).map { _ in tree(depth - 1, &random) }
            )
        case 2:
            let keys = Set(
                (0..<Int.random(in: 0...3, using: &random)).compactMap { _ in
                    Self.texts.randomElement(using: &random)
                }
            )
            // An unquoted << would be a merge key, and keys are quoted here.
            return .map(keys.sorted().map { ($0, tree(depth - 1, &random)) })
        default: return .text(Self.texts.randomElement(using: &random) ?? "")
        }
    }

    /// YAML 1.1, 5.7: escapes in double quotes.
    private func quoted(_ text: String) -> String {
        let escaped = text.unicodeScalars.map { scalar in
            switch scalar {
            case "\"", "\\": "\\\(scalar)"
            case "\n": "\\n"
            case "\t": "\\t"
            case _ where scalar.value < 0x20:
                "\\x" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: String(scalar)
            }
        }
        return "\"\(escaped.joined())\""
    }

    private func scalar(_ text: String, _ random: inout Generator) -> String {
        let isSimple = text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == ".") }
        if isSimple, !text.isEmpty, Bool.random(using: &random) { return text }
        let isPrintable = text.unicodeScalars.allSatisfy { $0.value >= 0x20 }
        if isPrintable, Bool.random(using: &random) {
            return "'\(text.replacing("'", with: "''"))'"
        }
        return quoted(text)
    }

    private func flow(_ tree: Tree, _ random: inout Generator) -> String {
        switch tree {
        case .text(let text): return scalar(text, &random)
        case .list(let list):
            return "[\(list.map { flow($0, &random) }.joined(separator: ", "))]"
        case .map(let entries):
            let members = entries.map { "\(quoted($0)): \(flow($1, &random))" }
            return "{\(members.joined(separator: ", "))}"
        }
    }

    /// The lines of a value in block style, behind a key or a dash.
    private func block(_ tree: Tree, _ indent: Int, _ random: inout Generator) -> String {
        let margin = String(repeating: " ", count: indent)
        switch tree {
        case .list(let list) where !list.isEmpty && Bool.random(using: &random):
            return list.map { "\n\(margin)- \(nested($0, indent + 2, &random))" }.joined()
        case .map(let entries) where !entries.isEmpty && Bool.random(using: &random):
            return entries.map {
                "\n\(margin)\(quoted($0)): \(nested($1, indent + 2, &random))"
            }.joined()
        default: return flow(tree, &random)
        }
    }

    private func nested(_ tree: Tree, _ indent: Int, _ random: inout Generator) -> String {
        let comment = Int.random(in: 0..<5, using: &random) == 0 ? " # comment" : ""
        return block(tree, indent, &random) + comment
    }

    @Test(arguments: 0..<60 as Range<UInt64>)
    func `a value is read whatever way it is written in`(seed: UInt64) throws {
        var random = Generator(state: seed)
        for _ in 0..<20 {
            let wanted = tree(4, &random)
            let text = "---" + (Bool.random(using: &random) ? "\n" : " ") + flow(wanted, &random)
            let flowed = try YAMLReader.documents(in: text)
            #expect(flowed.map(Tree.init) == [wanted], "\(text)")
            let lines = "--- # document\n" + block(wanted, 0, &random) + "\n...\n"
            let blocked = try YAMLReader.documents(in: lines)
            #expect(blocked.map(Tree.init) == [wanted], "\(lines)")
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `an alias is what its anchor stands for, wherever it is`(seed: UInt64) throws {
        var random = Generator(state: seed)
        let value = tree(3, &random)
        let text = "a: &anchor \(flow(value, &random))\nb: [*anchor, {c: *anchor}]\n"
        let document = try #require(try YAMLReader.documents(in: text).first)
        let expected = Tree.map([
            ("a", value), ("b", .list([value, .map([("c", value)])])),
        ])
        #expect(Tree(document) == expected)
    }

    @Test func `lines are those of the text`() throws {
        let text = "# one\na: 1\nb:\n  - x\n\n  - {c: d,\n     e: f}\n"
        let root = try #require(try YAMLReader.documents(in: text).first)
        #expect(root.mapping?.map(\.line) == [2, 3])
        let list = try #require(root["b"])
        #expect(list[0]?.line == 4 && list[1]?.line == 6)
        #expect(list[1]?["e"]?.line == 7)
        #expect(list[2] == nil && root["c"] == nil)
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `text of any kind is read or refused`(seed: UInt64) {
        var random = Generator(state: seed)
        for _ in 0..<40 {
            let text = (0..<Int.random(in: 0...40, using: &random)).map { _ in
                "abc: -[]{},&*!|>'\"%@#?\n\t \\~0.<".randomElement(using: &random) ?? "a"
            }
            do {
                for document in try YAMLReader.documents(in: String(text)) { _ = Tree(document) }
            } catch {
                #expect(!error.reason.isEmpty)
                // Errors do not quote the text, which may be secret.
                #expect(!error.description.contains(String(text)) || text.count < 4)
            }
        }
    }
}
