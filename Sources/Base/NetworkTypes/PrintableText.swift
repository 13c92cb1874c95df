extension String {
    /// The text on one line, without anything that a terminal or a line reader would act on.
    ///
    /// Control and format characters (line ends, terminal escapes, changes of the writing
    /// direction) become escapes like `\n` and `\u{1B}`; everything else is unchanged. A second
    /// pass changes nothing, so a backslash in the original text cannot be told from an escape. The
    /// text is processed by scalars, because `\r\n` is one `Character`.
    package var printable: String {
        guard !utf8.allSatisfy({ 0x20..<0x7F ~= $0 }) else { return self }
        return escaping { $0.isPrintable ? nil : $0.visibleEscape }
    }

    /// The `printable` text with its white space escaped as well, so that it remains one word of a
    /// line.
    package var printableWord: String {
        guard !utf8.allSatisfy({ 0x21..<0x7F ~= $0 }) else { return self }
        return escaping { scalar in
            let isSpace = scalar.properties.isWhitespace
            return scalar.isPrintable && !isSpace ? nil : scalar.visibleEscape
        }
    }

    /// The text for use inside the quotation marks of nft's syntax.
    ///
    /// That syntax has no escapes, so `'` replaces `"`.
    package var nftQuotable: String {
        guard utf8.contains(UInt8(ascii: "\"")) else { return printable }
        return printable.escaping { $0 == "\"" ? "'" : nil }
    }

    /// The JSON text with control and format characters written as `\uXXXX`.
    ///
    /// Encoders leave such characters as they are from U+007F on. Line feeds between values stay.
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

    /// The `printable` text for use between the tags of XML and HTML, and in quoted attributes.
    package var markup: String {
        printable.escaping { scalar in
            switch scalar {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            case "\"": "&quot;"
            default: nil
            }
        }
    }

    /// The text with spaces behind it up to a number of characters.
    package func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }

    /// Replaces each scalar for which the closure returns a string.
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
