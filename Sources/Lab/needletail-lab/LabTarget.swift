internal import ArgumentParser
internal import NetworkTypes

/// What an argument of the command line asks for: an address with a port, or an HTTP URL.
struct LabTarget {
    /// How long each step may take, in seconds.
    private static let patience = 5
    let key: FrontendKey
    /// The path of a URL.
    let path: String?

    init(_ text: String, _ transport: TransportProtocol = .tcp) throws {
        guard let scheme = text.firstRange(of: "http://") else {
            key = try FrontendKey(labArgument: text, transport)
            path = nil
            return
        }
        guard transport == .tcp else { throw ValidationError("HTTP goes over TCP, not --udp") }
        let rest = text[scheme.upperBound...]
        let authority = String(rest.prefix { $0 != "/" })
        let end = authority.hasPrefix("[") ? authority.drop { $0 != "]" } : authority[...]
        key = try FrontendKey(labArgument: end.contains(":") ? authority : "\(authority):80")
        let path = rest.drop { $0 != "/" }
        self.path = path.isEmpty ? "/" : String(path)
    }

    /// Sends a request, and says what came of it.
    func send(from namespace: Namespace, host: String? = nil) throws -> String {
        guard key.transport == .tcp else {
            switch try Probe(target: key, patience: Self.patience).send(from: namespace) {
            case .answered(let pod, let seen): return "\(pod) answered, and saw \(seen)"
            case .refused: return "refused"
            case .silent: return "no answer"
            }
        }
        let request = HTTPRequest(path: path ?? "/", host: host)
        switch try request.send(to: key, from: namespace, patience: Self.patience) {
        case .answered(let answer): return Self.text(of: answer)
        case .refused: return "refused"
        case .silent: return "no answer"
        }
    }

    /// Says who answered, if it was a pod; otherwise the status of HTTP.
    private static func text(of answer: HTTPAnswer) -> String {
        let words = answer.body.split { $0 == " " || $0 == "\n" }
        guard answer.status == 200, 2...3 ~= words.count else { return "status \(answer.status)" }
        let text = "\(words[0]) answered, and saw \(words[1])"
        return words.count == 2 ? text : text + ", asking for \(words[2])"
    }
}
