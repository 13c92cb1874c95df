internal import NetworkTypes
internal import PlanCompiler

/// A picture of what happens to connections: a row for each kind of client at each frontend, from
/// the client by the first hook and the frontend to every outcome.
///
/// A line is the wider the larger its share is. Form and colour of its end tell the outcome: a filled
/// circle an endpoint that is wanted, a triangle one that is not, a bar a refusal, a cross a drop, a
/// broken circle what nobody can tell.
struct ExplanationPicture {
    /// What an outcome looks like.
    enum Look: String, CaseIterable {
        case wanted, unwanted, rejected, dropped, unknown
        /// What the API wants where the kernel was not asked.
        case planned

        var color: String {
            switch self {
            case .wanted: "#2e7d32"
            case .unwanted: "#ef6c00"
            case .rejected: "#c62828"
            case .dropped: "#8e0000"
            case .unknown: "#757575"
            case .planned: "#90a4ae"
            }
        }

        var words: String {
            switch self {
            case .wanted: "delivered, as wanted"
            case .unwanted: "delivered elsewhere, or its answers are lost"
            case .rejected: "refused"
            case .dropped: "dropped"
            case .unknown: "nobody can tell"
            case .planned: "wanted, and not evaluated"
            }
        }

        /// The end of a line at this point.
        func mark(_ x: Int, _ y: Int) -> String {
            switch self {
            case .wanted: #"<circle cx="\#(x)" cy="\#(y)" r="8" fill="\#(color)"/>"#
            case .unwanted: #"<path d="M\#(x - 9) \#(y + 8)h18l-9 -17z" fill="\#(color)"/>"#
            case .rejected:
                #"<rect x="\#(x - 4)" y="\#(y - 11)" width="8" height="22" fill="\#(color)"/>"#
            case .dropped:
                #"<path d="M\#(x - 8) \#(y - 8)l16 16m0 -16l-16 16" stroke="\#(color)" stroke-width="5"/>"#
            case .unknown, .planned:
                #"<circle cx="\#(x)" cy="\#(y)" r="8" fill="none" stroke="\#(color)" stroke-width="3" stroke-dasharray="4 3"/>"#
            }
        }
    }

    private struct End {
        let look: Look
        /// Of 1.
        let share: Double
        let label: String
        /// The rules to blame.
        var detail = ""
        /// Whether it is so only if something unknown is so.
        var isDoubtful = false
    }

    private struct Row {
        let client: String
        let hook: String
        let frontend: String
        let service: String
        let ends: [End]

        var height: Int { max(1, ends.count) * ExplanationPicture.endHeight + 26 }
    }

    fileprivate static let endHeight = 42
    /// Where the columns of boxes begin and end.
    private static let (client, hook, frontend) = (20..<190, 230..<340, 400..<650)
    private static let (endX, width) = (800, 1400)
    private static let top = 60
    private static let shownEnds = 12

    private let title: String
    private let verdict: String
    private let rows: [Row]

    init(_ explanation: Explanation) {
        title =
            explanation.services.isEmpty
            ? "no Service" : explanation.services.joined(separator: ", ")
        verdict = ([explanation.unserved].compactMap(\.self) + explanation.kernel.lines.prefix(1))
            .joined(separator: "; ")
        rows = explanation.frontends.flatMap { frontend in
            frontend.flows.sorted { $0.key < $1.key }.map { kind, flow in
                Row(
                    client: explanation.client.map { "\($0.address) (\(kind))" } ?? kind,
                    hook: kind == "node" ? "output" : "prerouting",
                    frontend: frontend.key.description,
                    service: "\(frontend.kind) of \(frontend.service)",
                    ends: Self.ends(flow)
                )
            }
        }
    }

    private static func ends(_ flow: Explanation.Flow) -> [End] {
        let all = flow.kernel.map(evaluated) ?? planned(flow.wanted)
        let rest = all.dropFirst(shownEnds)
        guard let first = rest.first else { return all }
        let others = End(
            look: first.look,
            share: rest.reduce(0) { $0 + $1.share },
            label: "and \(rest.count) more"
        )
        return all.prefix(shownEnds) + [others]
    }

    private static func evaluated(_ kernel: Explanation.KernelFlow) -> [End] {
        kernel.outcomes.map { outcome in
            End(
                look: look(outcome),
                share: number(outcome.share),
                label: outcome.line,
                detail: outcome.isWanted ? "" : outcome.rules.joined(separator: "; "),
                isDoubtful: !outcome.isCertain
            )
        }
    }

    private static func planned(_ flow: FlowExplanation) -> [End] {
        let labels =
            flow.outcome == .balanced
            ? flow.endpoints.map(\.description) : ["\(flow.outcome.rawValue): \(flow.why)"]
        return labels.map { End(look: .planned, share: 1 / Double(labels.count), label: $0) }
    }

    private static func look(_ outcome: Explanation.Outcome) -> Look {
        switch outcome.what {
        case "delivered": outcome.isWanted ? .wanted : .unwanted
        case "lost": .unwanted
        case "rejected": .rejected
        case "dropped", "unroutable": .dropped
        default: .unknown
        }
    }

    /// Reads `1/3`.
    private static func number(_ share: String) -> Double {
        let parts = share.split(separator: "/").compactMap { Double($0) }
        return parts.count == 2 ? parts[0] / parts[1] : parts.first ?? 1
    }

    // MARK: Drawing

    private var height: Int { Self.top + rows.reduce(0) { $0 + $1.height } + 50 }

    var svg: String {
        var y = Self.top
        var parts = [
            """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Self.width) \(height)" \
            width="\(Self.width)" height="\(height)" font-family="sans-serif" font-size="13">
            <title>\(title.markup)</title>
            <rect width="\(Self.width)" height="\(height)" fill="white"/>
            <text x="20" y="26" font-size="16" font-weight="bold">\(title.markup)</text>
            <text x="20" y="46">\(verdict.markup)</text>
            """
        ]
        for row in rows {
            parts.append(draw(row, y))
            y += row.height
        }
        return (parts + [legend, "</svg>"]).joined(separator: "\n") + "\n"
    }

    private func draw(_ row: Row, _ top: Int) -> String {
        let middle = top + row.height / 2
        var parts = [
            "<path d=\"M20 \(top)H\(Self.width - 20)\" stroke=\"#eee\"/>",
            line(from: Self.client, to: Self.hook, middle),
            line(from: Self.hook, to: Self.frontend, middle),
            box(Self.client, middle, row.client, "client"),
            box(Self.hook, middle, row.hook, "hook"),
            box(Self.frontend, middle, row.frontend, row.service),
        ]
        for (index, end) in row.ends.enumerated() {
            let y = top + 13 + index * Self.endHeight + Self.endHeight / 2
            parts.append(draw(end, y, from: middle))
        }
        return "<g>\n" + parts.joined(separator: "\n") + "\n</g>"
    }

    private func draw(_ end: End, _ y: Int, from middle: Int) -> String {
        let (start, bend) = (Self.frontend.upperBound, 70)
        let thousandths = Int((1.5 + 9 * end.share) * 1000)
        let dashes = end.isDoubtful || end.look == .planned ? #" stroke-dasharray="6 5""# : ""
        var parts = [
            """
            <path class="\(end.look.rawValue)" d="M\(start) \(middle)C\(start + bend) \(middle) \
            \(Self.endX - bend) \(y) \(Self.endX - 10) \(y)" fill="none" stroke="\(end.look.color)" \
            stroke-width="\(Double(thousandths) / 1000)"\(dashes)/>
            """,
            end.look.mark(Self.endX, y),
            #"<text x="\#(Self.endX + 18)" y="\#(y + 4)">\#(end.label.markup)</text>"#,
        ]
        if !end.detail.isEmpty {
            let detail = end.detail.count > 90 ? end.detail.prefix(89) + "…" : end.detail[...]
            parts.append(
                """
                <text x="\(Self.endX + 18)" y="\(y + 19)" font-size="11" fill="#555">\
                \(String(detail).markup)<title>\(end.detail.markup)</title></text>
                """
            )
        }
        return parts.joined(separator: "\n")
    }

    private func line(from one: Range<Int>, to next: Range<Int>, _ y: Int) -> String {
        """
        <path d="M\(one.upperBound) \(y)H\(next.lowerBound)" stroke="#546e7a" stroke-width="3"/>
        """
    }

    private func box(_ place: Range<Int>, _ y: Int, _ text: String, _ below: String) -> String {
        let center = (place.lowerBound + place.upperBound) / 2
        return """
            <rect x="\(place.lowerBound)" y="\(y - 15)" width="\(place.count)" height="30" rx="5" fill="#eceff1" stroke="#546e7a"/>
            <text x="\(center)" y="\(y + 5)" text-anchor="middle">\(text.markup)</text>
            <text x="\(center)" y="\(y + 29)" text-anchor="middle" font-size="11" fill="#555">\(below.markup)</text>
            """
    }

    private var legend: String {
        let seen = Set(rows.lazy.flatMap(\.ends).map(\.look))
        return Look.allCases.filter(seen.contains).enumerated().map { index, look in
            let x = 30 + index * 230
            return look.mark(x, height - 20)
                + #"<text x="\#(x + 16)" y="\#(height - 16)" font-size="12">\#(look.words)</text>"#
        }.joined(separator: "\n")
    }
}
