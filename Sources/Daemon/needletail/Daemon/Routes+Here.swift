internal import NetworkTypes
internal import Observability

extension Routes {
    /// Answers at a path, but only clients of this node.
    mutating func getHere(_ path: String, _ answer: @escaping HTTPServer.Handler) {
        get(path) { Self.refusal($0) ?? answer($0) }
    }

    /// Returns the refusal of a request that only this node may send; nil for one that may be
    /// answered.
    private static func refusal(_ request: HTTPRequest) -> HTTPResponse? {
        guard request.isOnLoopback else {
            return HTTPResponse(
                403,
                HTTPResponse.plain,
                "this is told to this node only, at a loopback address: ask at 127.0.0.1 on the node,"
                    + " with metricsBindAddress 127.0.0.1:10249 or 0.0.0.0:10249\n"
            )
        }
        // The server's address may be the wildcard, for which another name would do.
        return request.isMeant(for: .loopback(.ipv4)) ? nil : .refusal(421)
    }
}
