internal import Synchronization

/// Answers that take longer to make than the server's thread may wait.
///
/// The first request for an answer lets it be made and is answered with status 202; the same request
/// soon after gets it.
package final class DeferredAnswers: Sendable {
    private enum Stage {
        case making
        case made(HTTPResponse, ContinuousClock.Instant)
    }

    private static let limit = 8
    /// How long an answer is kept that nobody fetches.
    private static let patience = Duration.seconds(30)
    private let stages = Mutex<[String: Stage]>([:])

    package init() {}

    /// Returns the answer, or that it is being made.
    ///
    /// - Parameters:
    /// - question: what is asked; the same answer is for all who ask it
    /// - make: makes the answer
    package func answer(
        _ question: String,
        _ make: @escaping @Sendable () async -> HTTPResponse
    ) -> HTTPResponse {
        let now = ContinuousClock.now
        enum Step { case wait, start, refuse, give(HTTPResponse) }
        let step = stages.withLock { stages -> Step in
            stages = stages.filter { _, stage in
                if case .made(_, let moment) = stage { now - moment < Self.patience } else { true }
            }
            switch stages[question] {
            case .making?: return .wait
            case .made(let answer, _)?:
                stages[question] = nil
                return .give(answer)
            case nil:
                guard stages.count < Self.limit else { return .refuse }
                stages[question] = .making
                return .start
            }
        }
        switch step {
        case .give(let answer): return answer
        case .refuse:
            return HTTPResponse(503, HTTPResponse.plain, "too many such questions at once\n")
        case .start:
            Task {
                let answer = await make()
                stages.withLock { $0[question] = .made(answer, .now) }
            }
        case .wait: break
        }
        return HTTPResponse(202, HTTPResponse.json, "{}")
    }
}
