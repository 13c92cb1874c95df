internal import NetworkTypes
internal import Observability

/// What a command has printed on one node.
struct NodeAnswer: Sendable {
    enum Result: Sendable {
        /// The command ran; commands that look at something also print when they exit with 1 or 3.
        case printed(String, status: Int32)
        /// There is no answer, for this reason.
        case failed(String)
    }

    let node: String
    let result: Result
}

/// The answers of all nodes to one command.
struct NodeAnswers {
    private let answers: [NodeAnswer]

    init(_ answers: [NodeAnswer]) {
        self.answers = answers.sorted { $0.node < $1.node }
    }

    /// 1 if a node has no answer, or one that says 1; else 3 if a node cannot tell; else 0.
    var status: Int32 {
        let all = answers.map { answer in
            if case .printed(_, let status) = answer.result { status } else { 1 as Int32 }
        }
        guard let worst = all.first(where: { $0 != 0 && $0 != 3 }) else { return all.max() ?? 0 }
        return worst
    }

    private var failures: [(node: String, reason: String)] {
        answers.compactMap { answer in
            if case .failed(let reason) = answer.result { (answer.node, reason) } else { nil }
        }
    }

    private var failureLines: [String] {
        failures.map { "node \($0.node) has no answer: \($0.reason)" }
    }

    // MARK: One answer for all that agree

    private struct Group {
        let status: Int32
        let key: String
        var nodes: [String]
        /// As the first of them has printed it.
        let text: String
    }

    private var groups: [Group] {
        var groups: [Group] = []
        for answer in answers {
            guard case .printed(let text, let status) = answer.result else { continue }
            let key = Self.withoutNode(text, answer.node)
            if let index = groups.firstIndex(where: { $0.status == status && $0.key == key }) {
                groups[index].nodes.append(answer.node)
            } else {
                groups.append(Group(status: status, key: key, nodes: [answer.node], text: text))
            }
        }
        return groups.sorted {
            ($0.status != 0 ? 1 : 0, -$0.nodes.count) < ($1.status != 0 ? 1 : 0, -$1.nodes.count)
        }
    }

    /// One answer where nodes agree; the largest group that is content comes first, nodes where
    /// something is wrong come last, where a reader looks.
    var grouped: [String] {
        let groups = groups
        var lines: [String] = []
        for group in groups {
            let names = Self.list(group.nodes)
            let isOnly = groups.count == 1 && failures.isEmpty
            let subject = isOnly && group.nodes.count > 1 ? "all \(group.nodes.count) nodes" : names
            if !lines.isEmpty { lines.append("") }
            lines.append("== \(subject)\(Self.words(group.status)):")
            lines += group.text.split(separator: "\n").map(String.init)
        }
        return lines + (lines.isEmpty || failures.isEmpty ? [] : [""]) + failureLines
    }

    private static func words(_ status: Int32) -> String {
        switch status {
        case 0: ""
        case 3: " (cannot tell, exit status 3)"
        default: " (exit status \(status))"
        }
    }

    private static func list(_ nodes: [String]) -> String {
        let shown = 8
        let names = nodes.prefix(shown).joined(separator: ", ")
        let rest = nodes.count > shown ? " and \(nodes.count - shown) more" : ""
        return (nodes.count == 1 ? "node " : "nodes ") + names + rest
    }

    /// The text without what differs from node to node where they do the same: the node's name, zone
    /// and addresses, which endpoints are its own, and the kernel's numbers of rules.
    private static func withoutNode(_ text: String, _ node: String) -> String {
        var isAboutNode = false
        var addresses: Set<Substring> = []
        let lines = text.split(separator: "\n").filter { line in
            if !line.hasPrefix("  ") {
                isAboutNode = line == "node \(node)" || line.hasPrefix("node \(node),")
            }
            for words in ["  addresses ", "  NodePorts at "]
            where isAboutNode && line.hasPrefix(words) {
                addresses.formUnion(
                    line.dropFirst(words.count).split(separator: ",").map { $0.drop { $0 == " " } }
                )
            }
            return !isAboutNode
        }
        return lines.joined(separator: "\n")
            .replacing(", on this node", with: "")
            .replacing(/handle [0-9]+/, with: "handle")
            .replacing(/[0-9a-f:.]+/) { match in
                let isOwn = addresses.contains {
                    match.output == $0 || !$0.contains(":") && match.output.hasPrefix("\($0):")
                }
                return isOwn ? "node" : String(match.output)
            }
    }

    // MARK: A line for each

    /// A row of the status of each node.
    struct StatusRow {
        let node, ready, mode, version, services, endpoints, sync, drift: String
    }

    /// A table of what each node says of itself, with its reasons behind it.
    func table(_ row: (String) -> StatusRow?) -> [String] {
        var rows = [
            ["NODE", "READY", "MODE", "VERSION", "SERVICES", "ENDPOINTS", "LAST SYNC", "DRIFT"]
        ]
        for answer in answers {
            guard case .printed(let text, _) = answer.result else { continue }
            rows.append(
                row(text).map {
                    [
                        $0.node, $0.ready, $0.mode, $0.version, $0.services, $0.endpoints, $0.sync,
                        $0.drift,
                    ]
                } ?? [answer.node, "unknown", "", "", "", "", "", ""]
            )
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = zip(row, widths).map { $0.padded(to: $1) }.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        } + failureLines
    }

    /// All lines in the order of their times, which they begin with, each behind the name of its node.
    var byTime: [String] {
        let width = answers.map(\.node.count).max() ?? 0
        var lines: [(line: Substring, node: String)] = []
        for answer in answers {
            guard case .printed(let text, _) = answer.result else { continue }
            lines += text.split(separator: "\n").map { ($0, answer.node) }
        }
        // Lines of one time stay in their node's order.
        let sorted = lines.enumerated().sorted { one, other in
            (Self.time(one.element.line), one.offset) < (
                Self.time(other.element.line), other.offset
            )
        }
        return sorted.map(\.element).map { line, node in
            "\(node.padded(to: width))  \(line)"
        } + failureLines
    }

    private static func time(_ line: Substring) -> Substring { line.prefix { $0 != " " } }

    // MARK: For machines

    /// An object with each node's answer, which is JSON itself; null where there is none.
    var json: String {
        let entries = answers.map { answer in
            let node = jsonText(answer.node)
            switch answer.result {
            case .printed(let text, let status):
                let lines = text.split(separator: "\n").map(String.init)
                // `history` prints an object on each line.
                let isList =
                    lines.count > 1 && lines.allSatisfy { $0.hasPrefix("{") && $0.hasSuffix("}") }
                let body =
                    isList ? "[\(lines.joined(separator: ","))]" : lines.joined(separator: "\n")
                return
                    #"{"node":\#(node),"status":\#(status),"answer":\#(body.isEmpty ? "null" : body)}"#
            case .failed(let reason):
                return #"{"node":\#(node),"answer":null,"error":\#(jsonText(reason))}"#
            }
        }
        return #"{"nodes":[\#(entries.joined(separator: ",\n"))]}"#
    }
}
