internal import Journal
internal import KubernetesModel
internal import NetworkTypes
internal import Observability
internal import Reconciler

/// The paths that answer from the journal, for clients of this node only.
struct HistoryRoutes {
    static let historyPath = "/history"
    static let planPath = "/history/plan"

    let journal: Journal
    let reconciler: Reconciler
    let nodeName: String
    private let questions = DeferredAnswers()
    private let started = Moment.now.text

    init(journal: Journal, reconciler: Reconciler, nodeName: String) {
        (self.journal, self.reconciler, self.nodeName) = (journal, reconciler, nodeName)
    }

    func add(to routes: inout Routes) {
        routes.getHere(Self.historyPath) { [self] in history($0.parameters) }
        routes.getHere(Self.planPath) { [self] in plan($0.parameters, question: $0.query) }
    }

    private static func bad(_ parameter: String, _ wanted: String) -> HTTPResponse {
        HTTPResponse(400, HTTPResponse.plain, "parameter \(parameter) must be \(wanted)\n")
    }

    /// Reads a number of seconds that have passed.
    private static func age(_ text: String) -> Duration? {
        Double(text).flatMap { (0...1e9).contains($0) ? .seconds($0) : nil }
    }

    private func history(_ parameters: [String: String]) -> HTTPResponse {
        let now = Moment.now
        var first: UInt64 = 0
        if let text = parameters["after"] {
            guard let number = UInt64(text) else { return Self.bad("after", "a number") }
            first = number
        }
        var since: ContinuousClock.Instant?
        if let text = parameters["since"] {
            guard let age = Self.age(text) else { return Self.bad("since", "a number of seconds") }
            since = now.instant - age
        }
        let view = journal.view
        let page = view.page(
            from: first,
            since: since,
            service: parameters["service"],
            limit: HistoryDocument.limit
        )
        let document = HistoryDocument(
            view,
            page,
            since: since,
            node: nodeName,
            journal: started,
            now: now
        )
        return HTTPResponse(200, HTTPResponse.json, document.json)
    }

    private func plan(_ parameters: [String: String], question: String) -> HTTPResponse {
        guard let service = parameters["service"], service.contains("/") else {
            return Self.bad("service", "NAMESPACE/NAME")
        }
        guard let at = parameters["at"].flatMap(Double.init), (0...1e11).contains(at) else {
            return Self.bad("at", "a time in seconds since 1970")
        }
        // What is replayed may be long, and the reconciler may be busy.
        return questions.answer(question) { [journal, reconciler, nodeName] in
            let now = Moment.now
            let moment = now.instant - .seconds(max(0, now.time - at))
            let (view, plan) = await reconciler.withCommittedPlan(of: ObjectName(service)) {
                (journal.view, $0)
            }
            do throws(PastPlan.Failure) {
                let past = try PastPlan(of: service, at: moment, now: plan, view)
                let document = PastPlanDocument(
                    past,
                    of: service,
                    at: moment,
                    view,
                    node: nodeName,
                    now: now
                )
                return HTTPResponse(200, HTTPResponse.json, document.json)
            } catch {
                return Self.answer(error, view, now)
            }
        }
    }

    private static func answer(
        _ failure: PastPlan.Failure,
        _ view: JournalView,
        _ now: Moment
    ) -> HTTPResponse {
        let since = view.since.map { now.text(of: $0) } ?? "the first sync, which is not done"
        let text =
            switch failure {
            case .beforeJournal: "the journal reaches back to \(since) only"
            case .tooLargeChange(let moment):
                "the change at \(now.text(of: moment)) was too large to be kept"
            case .mismatch: "the changes in the journal do not lead to the plan of now"
            }
        return HTTPResponse(failure == .mismatch ? 409 : 410, HTTPResponse.plain, text + "\n")
    }
}
