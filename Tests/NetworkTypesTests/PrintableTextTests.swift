import NetworkTypes
import Testing

@Suite struct PrintableTextTests {
    /// Every scalar of one or two bytes, and others that affect a terminal or lines.
    private static let scalars =
        (0..<0x800).compactMap(Unicode.Scalar.init)
        + [
            "\u{2028}", "\u{2029}", "\u{202E}", "\u{2066}", "\u{200B}", "\u{FEFF}", "\u{E0001}",
            "😀", "中",
        ]

    private static func isHarmless(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy {
            switch $0.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: false
            default: true
            }
        }
    }

    @Test func `every scalar becomes harmless, and what is harmless stays`() {
        for scalar in Self.scalars {
            let text = "a\(scalar)b"
            #expect(Self.isHarmless(text.printable), "\(scalar.value)")
            #expect((text.printable == text) == Self.isHarmless(text), "\(scalar.value)")
            #expect(text.printable.printable == text.printable, "\(scalar.value)")
            #expect(Self.isHarmless(text.printableWord), "\(scalar.value)")
            #expect(!text.printableWord.unicodeScalars.contains { $0.properties.isWhitespace })
            #expect(Self.isHarmless(text.nftQuotable) && !text.nftQuotable.contains("\""))
            #expect(text.nftQuotable.nftQuotable == text.nftQuotable)
            #expect(Self.isHarmless(text.printableJSON.replacing("\n", with: "")))
        }
    }

    // The pair is one Character, which equals neither of its halves.
    @Test func `a carriage return with a newline is two scalars`() {
        #expect("a\r\nb".printable == "a\\r\\nb")
        #expect("\u{1B}[31m\t".printable == "\\u{1B}[31m\\t")
        #expect("a b\u{A0}c".printableWord == "a\\u{20}b\\u{A0}c")
        #expect("say \"x\"".nftQuotable == "say 'x'")
        #expect("\"\u{9B}\u{E0001}\"".printableJSON == "\"\\u009b\\udb40\\udc01\"")
    }
}
