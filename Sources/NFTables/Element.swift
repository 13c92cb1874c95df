package import NetworkTypes

/// An element of a set or map.
package struct Element: Sendable, Hashable {
    package var key: ElementBytes
    /// The inclusive upper end of a range, in interval sets; nil elsewhere.
    package var keyEnd: ElementBytes?
    /// What a map maps the key to; nil in sets.
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

/// nft takes 128 bytes with the closing zero, whatever the number of characters.
private let longestComment = 127

extension String {
    /// What nft can print in quotation marks, and not more than fits.
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
