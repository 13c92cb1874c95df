/// Why the API server could not be asked, or what it answered.
package enum ClientError: Error, Sendable, Hashable {
    /// Configuration that cannot work: a file, a field, and what is wrong.
    case configuration(String)
    /// No answer: DNS, connection, TLS; `request` is method and URL.
    case transport(request: String, reason: String)
    /// The server refused, by the answer's status or in the stream.
    case status(request: String, ServerStatus)
    /// An answer that cannot be read.
    case malformed(request: String, reason: String)

    /// What the server said, if it answered.
    package var status: ServerStatus? {
        if case .status(_, let status) = self { return status }
        return nil
    }

    /// The resource version or continue token is no longer known; a new list is needed.
    package var isExpired: Bool { status?.code == 410 }

    package var isNotFound: Bool { status?.code == 404 }
}

extension ClientError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .configuration(let text): text
        case .transport(let request, let reason):
            "\(request): \(reason)\(Self.advice(request, reason))"
        case .status(let request, let status):
            "\(request): HTTP \(status.code): \(status.message)\(Self.advice(status.code))"
        case .malformed(let request, let reason): "\(request): unreadable answer: \(reason)"
        }
    }

    /// A server that expects TLS hangs up on whoever speaks without.
    private static func advice(_ request: String, _ reason: String) -> String {
        let hungUp = ["reset", "Empty reply"].contains { reason.contains($0) }
        guard hungUp, request.contains(" http://") else { return "" }
        return "; if the API server expects TLS, its URL has to begin with https://"
    }

    private static func advice(_ code: Int) -> String {
        switch code {
        case 401: "; check the token or client certificate"
        case 403: "; the account needs the ClusterRole system:node-proxier or its like"
        default: ""
        }
    }
}
