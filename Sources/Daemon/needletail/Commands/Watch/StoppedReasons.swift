internal import Backend
internal import NFTablesKernel
internal import NetworkTypes
internal import PlanCompiler
internal import ServicePlan

/// Why a packet was stopped.
struct StoppedReason: Sendable, Hashable {
    enum Event: String, Sendable { case refused, dropped, unroutable, stopped }

    let event: Event
    /// Nil: no Service has the frontend, as far as is known.
    let service: ConnectionNames.Frontend?
    let text: String
    /// The rules that decided, as text.
    var rules: [String] = []
}

/// Tells why packets are stopped: their way is evaluated with the rules of all programs, and compared
/// with what the API wants.
struct StoppedReasons {
    private let explainer: Explainer
    private let names: ConnectionNames
    private let frontends: [FrontendKey: (frontend: Frontend, plan: ServicePlan)]

    init(_ explainer: Explainer) {
        self.explainer = explainer
        names = ConnectionNames(explainer.snapshot)
        frontends = Dictionary(
            explainer.snapshot.plans.flatMap { plan in
                plan.frontends.map { ($0.key, ($0, plan)) }
            },
            uniquingKeysWith: { one, _ in one }
        )
    }

    func places(_ target: WatchTarget?) throws(Failure) -> StoppedPlaces {
        try names.places(target, serviceCIDRs: explainer.snapshot.facts.serviceCIDRs)
    }

    /// A client's packets to one frontend differ in their ports alone, which decide nothing.
    private struct Way: Hashable {
        let source: IPAddress
        let frontend: FrontendKey
        let interface: String?

        init(_ packet: FirstPacket) {
            (source, frontend) = (packet.source, packet.frontend)
            interface = packet.interface
        }
    }

    /// How many ways are evaluated at a time.
    private static let mostEvaluated = 64

    /// Returns a reason for each packet.
    func explain(_ packets: [FirstPacket]) async -> [StoppedReason] {
        var ways: [Way: FirstPacket] = [:]
        for packet in packets where ways.count < Self.mostEvaluated {
            ways[Way(packet)] = packet
        }
        let asked = Array(ways)
        var evaluations: [Way: Evaluation] = [:]
        var problem = "too many at once: the rules were not evaluated"
        do throws(CommitError) {
            let found = try await explainer.backend.get().evaluate(asked.map(\.value))
            for (way, evaluation) in zip(asked, found) { evaluations[way.key] = evaluation }
        } catch {
            problem = "the rules cannot be evaluated: \(error)"
        }
        return packets.map { reason($0, evaluations[Way($0)], problem) }
    }

    private func reason(
        _ packet: FirstPacket,
        _ evaluation: Evaluation?,
        _ problem: String
    ) -> StoppedReason {
        let name = names.frontend(packet.frontend)
        let wanted = frontends[packet.frontend].map { found in
            let kind =
                packet.interface == nil ? .node : explainer.clients.kind(packet.source)
            return explainer.wish(found.frontend, of: found.plan)(
                kind,
                [IPPrefix(host: packet.source)]
            )
        }
        guard let evaluation else {
            let hint = wanted.flatMap { $0.outcome == .balanced ? nil : "\($0.why); " } ?? ""
            return StoppedReason(event: .stopped, service: name, text: hint + problem)
        }
        let event = Self.event(evaluation)
        let rules = evaluation.outcomes.flatMap { Self.event($0) == nil ? [] : $0.rules }
        let text =
            wish(wanted, packet, event)
            ?? (rules.isEmpty
                ? Self.absence(evaluation) : "by \(Set(rules).sorted().joined(separator: "; "))")
        return StoppedReason(event: event, service: name, text: text, rules: rules)
    }

    /// What the API wants, if that is what happens.
    private func wish(
        _ wanted: FlowExplanation?,
        _ packet: FirstPacket,
        _ event: StoppedReason.Event
    ) -> String? {
        guard let wanted else {
            let text = explainer.whyUnserved(packet.frontend.address)
            for (event, word) in [
                (event == .refused, "rejected: "), (event == .dropped, "dropped: "),
            ]
            where event && text.hasPrefix(word) { return String(text.dropFirst(word.count)) }
            return nil
        }
        switch (wanted.outcome, event) {
        case (.rejected, .refused), (.dropped, .dropped): return wanted.why
        default: return nil
        }
    }

    private static func event(_ evaluation: Evaluation) -> StoppedReason.Event {
        // Some of what might happen to it has not happened.
        let events = Set(evaluation.outcomes.compactMap(event))
        return events.count == 1 ? events.first ?? .stopped : .stopped
    }

    /// How an outcome stops a packet; nil if it does not.
    private static func event(_ outcome: Evaluation.Outcome) -> StoppedReason.Event? {
        switch outcome.fate {
        case .rejected: .refused
        case .dropped: .dropped
        case .unroutable: .unroutable
        case .delivered, .lost, .undecided: nil
        }
    }

    private static func absence(_ evaluation: Evaluation) -> String {
        if evaluation.outcomes.contains(where: { $0.fate == .unroutable }) {
            return "the node has no route for it"
        }
        let doubts = Set(evaluation.doubts + evaluation.outcomes.flatMap(\.doubts)).sorted()
        return doubts.isEmpty
            ? "no rule stops such a packet now"
            : "nobody can tell: \(doubts.joined(separator: "; "))"
    }
}
