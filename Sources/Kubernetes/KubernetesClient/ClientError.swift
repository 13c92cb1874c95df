/// The reason why a request to the API server failed.
package enum ClientError: Error, Sendable, Hashable {
    /// An invalid configuration; the text names the file or field and what is wrong with it.
    case configuration(String)
    /// No answer because of DNS, connection or TLS; `request` is the method and URL.
    case transport(request: String, reason: String)
    /// A refusal by the server, in the status of the answer or in a watch event.
    case status(request: String, ServerStatus)
    /// An answer that cannot be read.
    case malformed(request: String, reason: String)

    /// The server's status; nil if the server did not refuse the request.
    package var status: ServerStatus? {
        if case .status(_, let status) = self { return status }
        return nil
    }

    /// Whether the resource version or continue token is no longer known, so that a new list is
    /// needed.
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

    /// Advice for a request over plain HTTP, since a server that expects TLS closes such a
    /// connection.
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
