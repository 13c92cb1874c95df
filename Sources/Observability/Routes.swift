/// What the two servers answer: kube-proxy's paths with its bodies, and ours.
package struct Routes: Sendable {
    package typealias Answer = @Sendable (HTTPRequest) async -> HTTPResponse
    private var answers: [String: Answer] = [:]
    private var changes: [String: Answer] = [:]
    private let requests: Counter

    package init(counting requests: Counter) { self.requests = requests }

    package mutating func get(_ path: String, _ answer: @escaping Answer) {
        answers[path] = answer
    }

    package mutating func put(_ path: String, _ answer: @escaping Answer) {
        changes[path] = answer
    }

    package func answer(_ request: HTTPRequest) async -> HTTPResponse {
        let response = await route(request)
        // Unknown paths are whatever strangers ask for.
        let isKnown = answers[request.path] != nil || changes[request.path] != nil
        requests.add(1, isKnown ? request.path : "other", "\(response.status)")
        return response
    }

    private func route(_ request: HTTPRequest) async -> HTTPResponse {
        switch request.method {
        case "GET", "HEAD":
            guard let answer = answers[request.path] else { return .refusal(404) }
            return await answer(request)
        case "PUT":
            guard let change = changes[request.path] else {
                return .refusal(answers[request.path] == nil ? 404 : 405)
            }
            return await change(request)
        default: return .refusal(405)
        }
    }

    /// Of a path that is told which format the client takes.
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
