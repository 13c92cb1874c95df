package import NetworkTypes

/// An element of a set or map.
package struct Element: Sendable, Hashable {
    package var key: ElementBytes
    /// The last key of a range (inclusive) in interval sets; nil in other sets.
    package var keyEnd: ElementBytes?
    /// The value to which a map maps the key; nil in sets.
    package var data: ElementBytes?
    package private(set) var comment: String?

    package init(
        key: ElementBytes,
        keyEnd: ElementBytes? = nil,
        data: ElementBytes? = nil,
        comment: String? = nil
    ) {
        self.key = key
        self.keyEnd = keyEnd
        self.data = data
        self.comment = comment?.asComment
    }
}

/// The longest comment in bytes: nft allows 128 bytes with the closing zero.
private let longestComment = 127

extension String {
    /// The text as a comment: without characters that nft cannot print in quotation marks, and
    /// shortened to the longest comment.
    fileprivate var asComment: String {
        let text = nftQuotable
        guard text.utf8.count > longestComment else { return text }
        var kept = text.prefix(longestComment)
        while kept.utf8.count > longestComment - 3 { kept.removeLast() }
        return kept + "..."
    }
}

extension ElementBytes {
    package init(_ key: FrontendKey) {
        self.init()
        append(key.address)
        append(key.transport)
        append(port: key.port)
    }

    package init(_ address: IPAddress) {
        self.init()
        append(address)
    }

    package init(_ address: IPAddress, port: UInt16) {
        self.init()
        append(address)
        append(port: port)
    }
}
