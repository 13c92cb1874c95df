package import NetworkTypes

/// One change that would bring the kernel closer to what it should hold.
package struct Difference: Sendable, Hashable {
    package enum Verb: String, Sendable, Hashable {
        case add, remove, change
    }

    /// The connections that depend on the object.
    package enum Subject: Sendable, Hashable {
        case everyone
        case frontend(FrontendKey)
        /// All frontends with this address.
        case address(IPAddress)
        /// All frontends with this endpoint, and the endpoint's own connections.
        case endpoint(IPAddress)
    }

    package let verb: Verb
    /// The object as its tool (nft, ipvsadm or ip) writes it.
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
