internal import Backend
internal import Glibc
internal import ModelKernel
internal import NFTables
internal import NetworkTypes
internal import Netlink

/// The way of a traced packet, for people and for the evaluator.
struct TracedWay {
    private(set) var steps: [Verification.Step] = []
    private(set) var sightings: [Witness.Sighting] = []
    /// How many steps there were before each sighting.
    private var stepsBefore: [Int] = []
    private let ruleset: Ruleset
    private let tracing: Ruleset.TableID

    init(_ events: [TraceEvent], by tracing: Ruleset.TableID, _ ruleset: Ruleset) {
        (self.ruleset, self.tracing) = (ruleset, tracing)
        var hook: String?
        var packet: TracedHeaders?
        for event in events {
            let family = Ruleset.Family(rawValue: event.family)
            let table = family.map { Ruleset.TableID($0, event.table) }
            if let headers = event.packet {
                if let packet, packet.ends != headers.ends, let last = steps.indices.last {
                    steps[last].becomes = "\(headers.source) to \(headers.destination)"
                }
                packet = headers
                hook = table.flatMap { ruleset.tables[$0]?.chains[event.chain]?.base?.hook.word }
                if let table { see(.called(table: table, chain: event.chain, headers.appearance)) }
            }
            if table != tracing { add(event, table, hook) }
        }
    }

    /// How many steps were made before a sighting.
    func stepCount(before sighting: Int) -> Int {
        sighting < stepsBefore.count ? stepsBefore[sighting] : steps.count
    }

    private mutating func see(_ sighting: Witness.Sighting) {
        sightings.append(sighting)
        stepsBefore.append(steps.count)
    }

    private mutating func add(_ event: TraceEvent, _ table: Ruleset.TableID?, _ hook: String?) {
        let isPolicy = event.kind == .policy
        // The end of a chain that was jumped to is no step.
        guard event.rule != nil || isPolicy else { return }
        var text = ""
        if let table {
            let reference = RuleReference(table, event.chain, isPolicy ? nil : event.rule)
            if !isPolicy || event.verdict == KernelExpression.Verdict.drop.rawValue {
                see(.matched(reference))
            }
            text = ruleset.words(of: reference)
        }
        steps.append(
            Verification.Step(
                hook: hook,
                table: "\(Self.familyName(event.family)) \(event.table)",
                chain: event.chain,
                rule: isPolicy ? nil : event.rule,
                text: text,
                verdict: Self.word(event)
            )
        )
    }

    /// NFPROTO_NETDEV and NFPROTO_BRIDGE are evaluated nowhere.
    private static func familyName(_ number: UInt8) -> String {
        switch number {
        case 5: "netdev"
        case 7: "bridge"
        default: Ruleset.Family(rawValue: number).map { "\($0)" } ?? "family \(number)"
        }
    }

    private static func word(_ event: TraceEvent) -> String {
        guard let verdict = event.verdict else { return "continue" }
        let known = KernelExpression.Verdict(rawValue: verdict < 0 ? verdict : verdict & 0xFF)
        let word = known.map { "\($0)" } ?? "verdict \(verdict)"
        return event.target.map { "\(word) \($0)" } ?? word
    }
}

extension TracedHeaders {
    fileprivate var ends: [AddressAndPort] { [source, destination] }

    fileprivate var appearance: Witness.Appearance {
        Witness.Appearance(
            from: source,
            to: destination,
            inputInterface: inputInterface,
            outputInterface: outputInterface
        )
    }
}

extension BaseChain.Hook {
    fileprivate var word: String { "\(self)" }
}
