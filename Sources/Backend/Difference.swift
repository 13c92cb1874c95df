package import NetworkTypes

/// One way in which the kernel is not as it should be, and what would make it so.
package struct Difference: Sendable, Hashable {
    package enum Verb: String, Sendable, Hashable {
        case add, remove, change
    }

    /// Whose connections depend on it.
    package enum Subject: Sendable, Hashable {
        case everyone
        case frontend(FrontendKey)
        /// All frontends with this address.
        case address(IPAddress)
        /// All frontends with this endpoint, and the endpoint's own connections.
        case endpoint(IPAddress)
    }

    package let verb: Verb
    /// The object as the tool for it writes it (nft, ipvsadm, ip).
    package let object: String
    package let subject: Subject

    package init(_ verb: Verb, _ object: String, of subject: Subject) {
        (self.verb, self.object, self.subject) = (verb, object, subject)
    }
}

extension Difference: CustomStringConvertible {
    package var description: String {
        let sign =
            switch verb {
            case .add: "+"
            case .remove: "-"
            case .change: "~"
            }
        return "\(sign) \(object)"
    }
}
