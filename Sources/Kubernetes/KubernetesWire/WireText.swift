package import FoundationEssentials

/// Text as the API sends it: bytes that should be UTF-8.
package typealias WireText = Data

extension WireText {
    package init(_ text: String) { self.init(text.utf8) }

    /// The text, with U+FFFD for bytes that are not UTF-8, as in the API's JSON.
    package var text: String { String(decoding: self, as: UTF8.self) }

    /// The text, or nil if it is not UTF-8.
    ///
    /// Names are read this way, because two different names must not become the same one.
    package var exactText: String? { String(validating: self, as: UTF8.self) }

    func says(_ text: String) -> Bool { count == text.utf8.count && elementsEqual(text.utf8) }
}
