/// Why the API server could not be asked, or what it answered.
package enum ClientError: Error, Sendable, Hashable {
    /// Configuration that cannot work: a file, a field, and what is wrong.
    case configuration(String)
    /// No answer: DNS, connection, TLS.
    case transport(url: String, reason: String)
    /// An answer other than 200; the server may say when to ask again.
    case status(url: String, code: Int, message: String, retryAfter: Duration = .zero)
    /// An answer that cannot be read.
    case malformed(url: String, reason: String)

    /// The list's resource version is no longer known; a new list is needed.
    package var isExpired: Bool {
        if case .status(_, 410, _, _) = self { return true }
        return false
    }

    /// How long the server wants to be left alone.
    var retryAfter: Duration {
        if case .status(_, _, _, let pause) = self { return pause }
        return .zero
    }

    package var isNotFound: Bool {
        if case .status(_, 404, _, _) = self { return true }
        return false
    }
}

extension ClientError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .configuration(let text): text
        case .transport(let url, let reason): "GET \(url): \(reason)"
        case .status(let url, let code, let message, _):
            "GET \(url): HTTP \(code): \(message)\(Self.advice(code))"
        case .malformed(let url, let reason): "GET \(url): unreadable answer: \(reason)"
        }
    }

    private static func advice(_ code: Int) -> String {
        switch code {
        case 401: "; check the token or client certificate"
        case 403: "; the account needs the ClusterRole system:node-proxier or its like"
        default: ""
        }
    }
}
