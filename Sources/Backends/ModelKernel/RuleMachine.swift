internal import NFTables
internal import NetworkTypes

/// Runs the expressions of one rule.
struct RuleMachine {
    let evaluator: Evaluator
    let place: Stations.ChainPlace
    let rule: Ruleset.Rule
    let hook: BaseChain.Hook

    init(
        _ evaluator: Evaluator,
        _ place: Stations.ChainPlace,
        _ rule: Ruleset.Rule,
        _ hook: BaseChain.Hook
    ) {
        (self.evaluator, self.place) = (evaluator, place)
        (self.rule, self.hook) = (rule, hook)
    }

    /// A traveller in the middle of the rule.
    struct Frame {
        var traveller: Traveller
        var registers = Registers()
    }

    indirect enum Effect {
        case proceed
        /// The rule does not match (`NFT_BREAK`).
        case stop
        case verdict(KernelExpression.Verdict, String?)
        case end(Outcome)
        case fork([(Frame, Effect)])
    }

    struct Call: Hashable {
        let chain: String
        let isJump: Bool
    }

    /// Where travellers go from the rule.
    struct Exits {
        var further: [Traveller] = []
        var accepted: [Traveller] = []
        var returned: [Traveller] = []
        var calls: [Call: [Traveller]] = [:]
        var ended: [(Traveller, Outcome)] = []
    }

    var reference: RuleReference { RuleReference(place.table, place.name, rule.handle) }

    func execute(_ travellers: [Traveller]) -> Exits {
        var exits = Exits()
        for traveller in travellers { execute(traveller, &exits) }
        return exits
    }

    private func execute(_ traveller: Traveller, _ exits: inout Exits) {
        run(Frame(traveller: traveller), 0, &exits)
    }

    /// Goes on with the expression at an index.
    private func run(_ start: Frame, _ first: Int, _ exits: inout Exits) {
        var frame = start
        for index in first..<rule.expressions.count {
            let effect = step(rule.expressions[index], index, &frame)
            guard case .proceed = effect else {
                return settle(frame, effect, index, &exits)
            }
        }
        exits.further.append(marked(frame))
    }

    private func settle(
        _ frame: Frame,
        _ effect: Effect,
        _ index: Int,
        _ exits: inout Exits
    ) {
        switch effect {
        case .proceed: run(frame, index + 1, &exits)
        case .stop: exits.further.append(frame.traveller)
        case .verdict(let verdict, let chain): leave(marked(frame), verdict, chain, &exits)
        case .end(let outcome): exits.ended.append((marked(frame), outcome))
        case .fork(let branches):
            for (frame, effect) in branches { settle(frame, effect, index, &exits) }
        }
    }

    private func marked(_ frame: Frame) -> Traveller {
        var traveller = frame.traveller
        traveller.rules.append(reference)
        return traveller
    }

    private func leave(
        _ traveller: Traveller,
        _ verdict: KernelExpression.Verdict,
        _ chain: String?,
        _ exits: inout Exits
    ) {
        switch verdict {
        case .continue, .break: exits.further.append(traveller)
        case .accept: exits.accepted.append(traveller)
        case .return: exits.returned.append(traveller)
        case .drop: exits.ended.append((traveller, .dropped))
        case .queue:
            let reason = "a program decides about what is queued"
            let doubtful = traveller.doubting(reference, reason, holds: true)
            exits.ended.append((doubtful, .undecided))
        case .jump, .goto:
            exits.calls[Call(chain: chain ?? "", isJump: verdict == .jump), default: []]
                .append(traveller)
        }
    }

    // MARK: Doubts

    /// The rule goes on, or it does not match.
    func doubt(_ frame: Frame, _ index: Int, _ reason: String) -> Effect {
        // Nobody can tell the difference if nothing comes of it.
        guard rule.expressions[(index + 1)...].contains(where: \.hasEffect) else { return .stop }
        return .fork(
            [(true, Effect.proceed), (false, .stop)].map { holds, effect in
                var branch = frame
                branch.traveller = frame.traveller.doubting(reference, reason, holds: holds)
                return (branch, effect)
            }
        )
    }

    /// Where the packet goes from here nobody can tell.
    func undecided(_ frame: inout Frame, _ reason: String) -> Effect {
        frame.traveller = frame.traveller.doubting(reference, reason, holds: true)
        return .end(.undecided)
    }

    // MARK: Chance

    /// Calls the body with the bytes of a register, for each value that they may have, and goes on with
    /// as many frames as there are different answers.
    func cases<Answer: Hashable>(
        _ frame: Frame,
        _ register: UInt32,
        _ length: Int,
        _ body: ([UInt8]) -> Answer
    ) -> [(frame: Frame, answer: Answer)] {
        guard let word = frame.registers.choice(register, length),
            let values = frame.registers.choices[word]
        else { return [(frame, body(frame.registers.read(register, length)))] }
        var groups: [Answer: [UInt32]] = [:]
        var order: [Answer] = []
        for value in values {
            var registers = frame.registers
            registers.settle(word, [value])
            guard registers.choice(register, length) == nil else {
                return values.flatMap {
                    cases(narrowed(frame, word, [$0], of: values.count), register, length, body)
                }
            }
            let answer = body(registers.read(register, length))
            if groups[answer] == nil { order.append(answer) }
            groups[answer, default: []].append(value)
        }
        return order.map { answer in
            (narrowed(frame, word, groups[answer] ?? [], of: values.count), answer)
        }
    }

    /// The frame in which a word of chance is one of some of its values.
    private func narrowed(
        _ frame: Frame,
        _ word: Int,
        _ values: [UInt32],
        of total: Int
    ) -> Frame {
        var branch = frame
        branch.registers.settle(word, values)
        if let weight = frame.traveller.weight.part(values.count, of: total) {
            branch.traveller.weight = weight
        } else {
            let reason = "the share is too small to be told"
            branch.traveller = frame.traveller.doubting(reference, reason, holds: true)
        }
        return branch
    }

    /// Does what needs all bytes of some registers, for each value that they may have.
    func forEachValue(
        _ spans: [(register: UInt32, length: Int)],
        _ frame: inout Frame,
        _ body: (inout Frame) -> Effect
    ) -> Effect {
        var frames = [frame]
        for span in spans {
            frames = frames.flatMap { frame in
                cases(frame, span.register, span.length) { $0 }.map(\.frame)
            }
        }
        if frames.count == 1 {
            frame = frames[0]
            return body(&frame)
        }
        return .fork(
            frames.map { branch in
                var branch = branch
                let effect = body(&branch)
                return (branch, effect)
            }
        )
    }
}

extension KernelExpression {
    /// Whether anything comes of it but a register's contents or a match.
    var hasEffect: Bool {
        switch self {
        case .payload, .meta, .connection, .random, .counting, .hash, .route, .mask, .shift,
            .byteOrder, .immediate, .compare, .range, .counter, .log, .unknownMatch:
            false
        case .lookup(_, _, let destination, _): destination == 0
        case .setMeta(let key, _): key != .trace
        case .setConnection, .update, .translate, .masquerade, .redirect, .noTrack, .reject,
            .verdict, .unknownAction:
            true
        }
    }
}
