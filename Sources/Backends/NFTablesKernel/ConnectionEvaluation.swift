package import Backend
package import ModelKernel
internal import NFTables
package import NetworkTypes

/// Follows the first packet of a connection, the answers to it, and a later packet.
package struct ConnectionEvaluation {
    private let packet: Packet
    private let evaluator: Evaluator
    private let ownAddress: (IPAddress) -> IPAddress?

    /// - Parameter ownAddress: the address that the node has toward another one; nil if it has none
    package init(
        _ packet: Packet,
        _ evaluator: Evaluator,
        ownAddress: @escaping (IPAddress) -> IPAddress?
    ) {
        (self.packet, self.evaluator, self.ownAddress) = (packet, evaluator, ownAddress)
    }

    package var outcomes: [Evaluation.Outcome] {
        var outcomes: [Evaluation.Outcome] = []
        for outcome in evaluator.possibilities(of: packet).flatMap({ self.outcomes($0) })
        where !outcomes.contains(outcome) {
            outcomes.append(outcome)
        }
        return outcomes
    }

    private func outcomes(_ first: Possibility) -> [Evaluation.Outcome] {
        let failures = answerFailures(first) + laterFailures(first)
        guard case .delivered(let address, let port, _, _) = first.outcome, !failures.isEmpty
        else { return [outcome(first, fate(first.outcome), [])] }
        let lost = failures.map { failure in
            let rules = failure.decidingRules(evaluator.ruleset)
            return Evaluation.Outcome(
                .lost(after: AddressAndPort(address, port)),
                share: first.weight.description,
                rules: rules.map(evaluator.ruleset.text),
                doubts: texts(first.doubts + failure.doubts)
            )
        }
        // What is certain to fail later does not succeed.
        guard !failures.contains(where: \.isCertain) else { return lost }
        return [outcome(first, fate(first.outcome), failures.flatMap(\.doubts))] + lost
    }

    // MARK: Later packets

    /// The answers that do not come back to the client.
    private func answerFailures(_ first: Possibility) -> [Possibility] {
        guard case .delivered(let address, _, _, _) = first.outcome,
            let answers = evaluator.answers(
                to: first,
                masqueradedAs: ownAddress(address)
            )
        else { return [] }
        return answers.filter { answer in
            guard case .delivered(let address, let port, _, _) = answer.outcome else {
                return true
            }
            return address != packet.source || port != packet.sourcePort
        }
    }

    /// The later packets of the connection that go somewhere else.
    private func laterFailures(_ first: Possibility) -> [Possibility] {
        guard case .delivered(let address, let port, _, _) = first.outcome,
            let later = evaluator.laterPackets(like: packet, of: first)
        else { return [] }
        return later.filter { possibility in
            guard case .delivered(address, port: port, _, _) = possibility.outcome else {
                return true
            }
            return false
        }
    }

    // MARK: As text

    private func fate(_ outcome: Outcome) -> Evaluation.Fate {
        switch outcome {
        case .delivered(let address, let port, let isMasqueraded, _):
            .delivered(to: AddressAndPort(address, port), isMasqueraded: isMasqueraded)
        case .rejected: .rejected
        case .dropped: .dropped
        case .unroutable: .unroutable
        case .undecided: .undecided
        }
    }

    private func outcome(
        _ possibility: Possibility,
        _ fate: Evaluation.Fate,
        _ more: [Doubt]
    ) -> Evaluation.Outcome {
        Evaluation.Outcome(
            fate,
            share: possibility.weight.description,
            rules: possibility.decidingRules(evaluator.ruleset).map(evaluator.ruleset.text),
            doubts: texts(possibility.doubts + more)
        )
    }

    private func texts(_ doubts: [Doubt]) -> [String] {
        var texts: [String] = []
        for doubt in doubts {
            let rule = doubt.rule.map(evaluator.ruleset.text) ?? ""
            let text =
                rule.isEmpty
                ? doubt.reason
                : rule.contains(doubt.reason) ? rule : "\(rule): \(doubt.reason)"
            if !texts.contains(text) { texts.append(text) }
        }
        return texts
    }
}
