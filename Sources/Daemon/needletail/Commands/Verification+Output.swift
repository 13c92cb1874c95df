internal import Backend
internal import NetworkTypes

/// One verification of `explain --verify`, as it is shown.
struct Verified: Encodable {
    struct Step: Encodable {
        let number: Int
        let hook: String?
        let table: String
        let chain: String
        /// The handle; nil: the end of a base chain.
        let rule: UInt64?
        let text: String
        let verdict: String
        /// The packet behind the step, if its addresses have changed.
        let becomes: String?
    }

    let frontend: String
    /// Nil: there was no packet.
    let client: String?
    let steps: [Step]
    /// `delivered`, `refused`, `dropped`, `queued` or `lost`; nil: nothing is known.
    let what: String?
    let to: String?
    /// What the receiver takes for the client.
    let seenFrom: String?
    /// Nil: a process of the node has got it, or nobody.
    let interface: String?
    /// What conntrack has of it.
    let connection: String?
    /// Nil: nobody can tell.
    let agrees: Bool?
    /// The number of the first step that is not what was said; one more than there are if it is the end.
    let partsAt: Int?
    /// What was said instead.
    let expected: [String]
    /// Why nobody can tell.
    let reason: String?

    init(_ verification: Verification) {
        frontend = verification.frontend.description
        client = verification.client?.description
        steps = verification.steps.enumerated().map { index, step in
            Step(
                number: index + 1,
                hook: step.hook,
                table: step.table,
                chain: step.chain,
                rule: step.rule,
                text: step.text,
                verdict: step.verdict,
                becomes: step.becomes
            )
        }
        connection = verification.connection
        switch verification.fate {
        case .delivered(let endpoint, let source, let name):
            (what, to, seenFrom) = ("delivered", endpoint.description, source.description)
            interface = name
        case .refused: (what, to, seenFrom, interface) = ("refused", nil, nil, nil)
        case .dropped: (what, to, seenFrom, interface) = ("dropped", nil, nil, nil)
        case .queued: (what, to, seenFrom, interface) = ("queued", nil, nil, nil)
        case .lost: (what, to, seenFrom, interface) = ("lost", nil, nil, nil)
        case nil: (what, to, seenFrom, interface) = (nil, nil, nil, nil)
        }
        switch verification.judgement {
        case .agrees: (agrees, partsAt, expected, reason) = (true, nil, [], nil)
        case .parts(let count, let expectations):
            (agrees, partsAt, expected, reason) = (false, count + 1, expectations, nil)
        case .cannotTell(let text): (agrees, partsAt, expected, reason) = (nil, nil, [], text)
        }
    }

    // MARK: Text

    var lines: [String] {
        guard let client else { return ["verify \(frontend): cannot tell: \(reason ?? "")"] }
        var lines = ["verify \(frontend): a packet of \(client)"]
        for step in steps {
            let rule = step.rule.map { ", handle \($0)" } ?? ""
            let words = step.text.isEmpty || step.text == step.verdict ? "" : ": \(step.text)"
            let verdict = step.rule == nil ? "policy \(step.verdict)" : step.verdict
            let hook = step.hook ?? ""
            lines.append(
                "  \(step.number). \(hook), table \(step.table), chain \(step.chain)\(rule)\(words) => \(verdict)"
            )
            if let packet = step.becomes { lines.append("     now \(packet)") }
        }
        return lines + ["  \(end)"] + (connection.map { ["  conntrack: \($0)"] } ?? []) + [
            judgement
        ]
    }

    private var end: String {
        switch what {
        case "delivered":
            "delivered to \(to ?? ""), which sees \(seenFrom ?? "")"
                + (interface.map { ", by \($0)" } ?? ", a process of this node")
        case "refused", "dropped": "\(what ?? "") by step \(steps.count)"
        case "queued": "left to a program by step \(steps.count)"
        default:
            steps.isEmpty
                ? "not sent: no route" : "not seen again behind step \(steps.count)"
        }
    }

    private var judgement: String {
        switch agrees {
        case true?: return "  the kernel did what explain says, at every step"
        case nil: return "  cannot tell: \(reason ?? "")"
        case false?:
            let step = partsAt ?? 0
            let place = step <= steps.count ? "at step \(step)" : "behind step \(steps.count)"
            return "  parts from what explain says \(place), which is: "
                + expected.joined(separator: ", or: ")
        }
    }
}
