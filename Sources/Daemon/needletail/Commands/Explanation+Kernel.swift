internal import Backend
internal import NetworkTypes
internal import PlanCompiler

extension Explanation {
    /// What the API wants for a kind of client, and what the kernel does.
    struct Flow: Encodable {
        let wanted: FlowExplanation
        /// Nil: this node has no such client, or the kernel could not be asked.
        var kernel: KernelFlow?

        private enum CodingKeys: String, CodingKey { case kernel }

        func encode(to encoder: any Encoder) throws {
            try wanted.encode(to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encodeIfPresent(kernel, forKey: .kernel)
        }
    }

    /// What the kernel does to new connections.
    struct KernelFlow: Encodable {
        /// Nil: nobody can tell.
        let agrees: Bool?
        let outcomes: [Outcome]
        /// The endpoints that no connection reaches.
        let missing: [String]
        /// What could not be evaluated.
        let doubts: [String]
    }

    struct Outcome: Encodable {
        /// `delivered`, `lost` (later packets or answers are), `rejected`, `dropped`, `unroutable` or
        /// `undecided`.
        let what: String
        let to: String?
        let isMasqueraded: Bool?
        /// The most that it can be if there are doubts.
        let share: String
        let isCertain: Bool
        let isWanted: Bool
        /// Those that decided.
        let rules: [String]
    }

    /// Whether the kernel does what is wanted.
    struct Kernel: Encodable {
        /// Nil: nobody can tell, or it could not be asked.
        let agrees: Bool?
        /// What needletail would change.
        let differences: [String]
        /// The outcomes that are not wanted.
        let contradictions: [String]
        /// Why nobody can tell.
        let doubts: [String]
        let problem: String?
        /// Whether there were connections to evaluate.
        let isEvaluated: Bool

        var lines: [String] {
            switch agrees {
            case true? where !isEvaluated:
                return ["kernel: holds needletail's rules; none of them serves this"]
            case true?: return ["kernel: does this"]
            case false?:
                var lines: [String] = []
                if !differences.isEmpty {
                    lines.append("kernel: differs; needletail would change")
                    lines += differences.map { "  \($0)" }
                }
                if !contradictions.isEmpty {
                    lines.append("kernel: differs; it does something else")
                    lines += contradictions.map { "  \($0)" }
                }
                return lines
            case nil:
                let reasons = problem.map { [$0] } ?? doubts
                guard reasons.count != 1 else { return ["kernel: cannot tell: \(reasons[0])"] }
                return ["kernel: cannot tell:"] + reasons.map { "  \($0)" }
            }
        }
    }
}

extension Explanation.Outcome {
    init(_ outcome: Evaluation.Outcome, isWanted: Bool) {
        var (to, isMasqueraded): (String?, Bool?) = (nil, nil)
        let what =
            switch outcome.fate {
            case .delivered: "delivered"
            case .lost: "lost"
            case .rejected: "rejected"
            case .dropped: "dropped"
            case .unroutable: "unroutable"
            case .undecided: "undecided"
            }
        switch outcome.fate {
        case .delivered(let endpoint, let masquerades):
            (to, isMasqueraded) = (endpoint.description, masquerades)
        case .lost(let endpoint): to = endpoint.description
        case .rejected, .dropped, .unroutable, .undecided: break
        }
        self.init(
            what: what,
            to: to,
            isMasqueraded: isMasqueraded,
            share: outcome.share,
            isCertain: outcome.doubts.isEmpty,
            isWanted: isWanted,
            rules: outcome.rules
        )
    }

    /// The outcome without its share.
    fileprivate var words: String {
        switch what {
        case "delivered":
            (to ?? "") + (isMasqueraded == true ? ", masqueraded" : ", not masqueraded")
        case "lost": "\(to ?? ""), but later packets or answers are lost"
        case "unroutable": "no route"
        default: what
        }
    }

    var line: String {
        let may = isCertain ? "" : "perhaps "
        return "\(may)\(words), \(share)"
    }

    /// With the rules to blame.
    var blame: String {
        let by = rules.isEmpty ? "" : " by \(rules.joined(separator: "; "))"
        return (isCertain ? "" : "perhaps ") + words + by
    }
}

extension Explanation.KernelFlow {
    private static let shownOutcomes = 12

    /// The outcomes, and what is wrong with them.
    var lines: [String] {
        var lines = ["    kernel: " + shares]
        for outcome in outcomes where !outcome.isWanted && !outcome.rules.isEmpty {
            lines.append("    \(outcome.blame)")
        }
        if !missing.isEmpty, outcomes.allSatisfy(\.isWanted) {
            lines.append("    no connection reaches \(missing.joined(separator: ", "))")
        }
        return lines + doubts.map { "    doubtful: \($0)" }
    }

    private var shares: String {
        let rest = outcomes.count - Self.shownOutcomes
        let shown = outcomes.prefix(Self.shownOutcomes).map(\.line)
        return (shown + (rest > 0 ? ["and \(rest) more"] : [])).joined(separator: "; ")
    }

    /// What contradicts the API, as one text for each outcome.
    var contradictions: [String] {
        guard agrees == false else { return [] }
        let wrong = outcomes.filter { !$0.isWanted && $0.isCertain }.map(\.blame)
        return wrong.isEmpty ? missing.map { "nothing is sent to \($0)" } : wrong
    }
}
