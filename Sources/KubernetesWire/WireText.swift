package import FoundationEssentials

/// A text as the API sends it: bytes that should be UTF-8.
package typealias WireText = Data

extension WireText {
    package init(_ text: String) { self.init(text.utf8) }

    /// What is no UTF-8 reads as U+FFFD, as it does in the API's JSON.
    package var text: String { String(decoding: self, as: UTF8.self) }

    /// Nil if it is no UTF-8, for names: two of them must not become one.
    package var exactText: String? { String(validating: self, as: UTF8.self) }

    func says(_ text: String) -> Bool { count == text.utf8.count && elementsEqual(text.utf8) }
}
