extension String {
    /// The text on one line, without anything that a terminal or a reader of lines would act on.
    ///
    /// Control and format characters (a line's end, a terminal's escape, a change of the writing direction) become
    /// escapes like `\n` and `\u{1B}`; all else is unchanged. Doing it twice changes nothing more, so a
    /// backslash of the text itself is not told from an escape. Works on scalars: `\r\n` is one `Character`.
    package var printable: String {
        guard !utf8.allSatisfy({ 0x20..<0x7F ~= $0 }) else { return self }
        return escaping { $0.isPrintable ? nil : $0.visibleEscape }
    }

    /// One word of a line: `printable`, and without spaces, so that it cannot be taken for several.
    package var printableWord: String {
        guard !utf8.allSatisfy({ 0x21..<0x7F ~= $0 }) else { return self }
        return escaping { scalar in
            let isSpace = scalar.properties.isWhitespace
            return scalar.isPrintable && !isSpace ? nil : scalar.visibleEscape
        }
    }

    /// The text between the quotation marks of nft's syntax, which has no escapes: `'` stands for `"`.
    package var nftQuotable: String {
        guard utf8.contains(UInt8(ascii: "\"")) else { return printable }
        return printable.escaping { $0 == "\"" ? "'" : nil }
    }

    /// JSON whose strings have control and format characters as `\uXXXX`, which encoders leave as
    /// they are from U+007F on; the line ends between values stay.
    package var printableJSON: String {
        guard !utf8.allSatisfy({ 0x20..<0x7F ~= $0 || $0 == 0x0A }) else { return self }
        return escaping { scalar in
            guard scalar != "\n", !scalar.isPrintable else { return nil }
            return String(scalar).utf16.map { unit in
                let digits = String(unit, radix: 16)
                return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }.joined()
        }
    }

    /// Replaces each scalar for which the body returns a text.
    package func escaping(_ replacement: (Unicode.Scalar) -> String?) -> String {
        var result = String.UnicodeScalarView()
        for scalar in unicodeScalars {
            if let text = replacement(scalar) {
                result.append(contentsOf: text.unicodeScalars)
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }
}

extension Unicode.Scalar {
    fileprivate var isPrintable: Bool {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: false
        default: true
        }
    }

    fileprivate var visibleEscape: String {
        switch self {
        case "\n": "\\n"
        case "\r": "\\r"
        case "\t": "\\t"
        default: "\\u{\(String(value, radix: 16, uppercase: true))}"
        }
    }
}
