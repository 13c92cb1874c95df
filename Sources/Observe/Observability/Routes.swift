/// The answers of the two servers: kube-proxy's paths with its bodies, and needletail's own.
package struct Routes: Sendable {
    private var answers: [String: HTTPServer.Handler] = [:]
    private var changes: [String: HTTPServer.Handler] = [:]
    private let requests: Counter

    package init(counting requests: Counter) { self.requests = requests }

    package mutating func get(_ path: String, _ answer: @escaping HTTPServer.Handler) {
        answers[path] = answer
    }

    package mutating func put(_ path: String, _ answer: @escaping HTTPServer.Handler) {
        changes[path] = answer
    }

    package func answer(_ request: HTTPRequest) -> HTTPResponse {
        // Unknown paths are not used as labels, since strangers may ask for any path.
        let isKnown = answers[request.path] != nil || changes[request.path] != nil
        let response = route(request)
        requests.add(1, isKnown ? request.path : "other", "\(response.status)")
        return response
    }

    private func route(_ request: HTTPRequest) -> HTTPResponse {
        switch request.method {
        case "GET", "HEAD":
            guard let answer = answers[request.path] else { return .refusal(404) }
            return answer(request)
        case "PUT":
            guard let change = changes[request.path] else {
                return .refusal(answers[request.path] == nil ? 404 : 405)
            }
            return change(request)
        default: return .refusal(405)
        }
    }

    /// Returns metrics in the format that the client accepts.
    package static func exposition(
        _ families: [any MetricFamily],
        accept: String
    ) -> HTTPResponse {
        let openMetrics = accept.contains("application/openmetrics-text")
        return HTTPResponse(
            200,
            openMetrics ? Exposition.openMetricsType : Exposition.prometheusType,
            Exposition.text(families, openMetrics: openMetrics)
        )
    }
}
