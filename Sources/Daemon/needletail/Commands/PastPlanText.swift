internal import NetworkTypes
internal import Observability

/// The text of `explain --at`.
enum PastPlanText {
    static func lines(_ past: PastPlanDocument) -> [String] {
        var lines = [
            "\(past.service) at \(HistoryText.time(past.at)), as it was programmed on \(past.node):"
        ]
        if !past.isProgrammed {
            lines.append("  not programmed: the Service was not there, or had no cluster IP")
        }
        for frontend in past.frontends { lines += self.lines(frontend, past) }
        if let damage = past.damage {
            lines.append("the kernel did not hold all of this at that time:")
            lines.append("  \(HistoryText.line(damage))")
        }
        lines.append(past.later.isEmpty ? "nothing has changed since" : "since then:")
        lines += past.later.map { "  \(HistoryText.line($0))" }
        if past.laterLeftOut > 0 {
            lines.append("  and \(past.laterLeftOut) more (needletail history \(past.service))")
        }
        lines.append(
            "This is what needletail had programmed. What rules of other programs did then is not recorded."
        )
        return lines.map(\.printable)
    }

    private static func lines(
        _ frontend: PastPlanDocument.Frontend,
        _ past: PastPlanDocument
    ) -> [String] {
        let port = frontend.port.isEmpty ? "" : ":\(frontend.port)"
        var lines = [
            "\(frontend.frontend)  \(frontend.kind) of \(past.service)\(port),"
                + " \(frontend.action), \(since(frontend.since, past))"
        ]
        lines += frontend.endpoints.map { line($0, past) }
        if let outside = frontend.outsideEndpoints {
            lines.append("  for clients from outside:")
            lines += outside.map { line($0, past) }
        }
        if !frontend.draining.isEmpty {
            lines.append("  drained: \(frontend.draining.joined(separator: ", "))")
        }
        return lines
    }

    private static func line(
        _ endpoint: PastPlanDocument.Endpoint,
        _ past: PastPlanDocument
    ) -> String {
        "    \(endpoint.endpoint)  \(since(endpoint.since, past))"
            + (endpoint.isOnThisNode ? ", on this node" : "")
    }

    private static func since(_ time: String?, _ past: PastPlanDocument) -> String {
        time.map { "since \(HistoryText.time($0))" }
            ?? "since before \(HistoryText.time(past.reachesBackTo))"
    }
}

extension DaemonClient {
    /// Asks for the plan of a Service at a time in seconds since 1970, until the daemon has put it
    /// together.
    func pastPlan(of service: String, at moment: Double) async throws -> PastPlanDocument {
        // The number makes this question differ from that of another caller.
        let question =
            "\(HistoryRoutes.planPath)?service=\(service)&at=\(moment)&caller=\(UInt64.random(in: 0 ... .max))"
        for _ in 0..<Self.patience {
            let bytes = try await get(question)
            guard bytes == Array("{}".utf8) else {
                return try decode(PastPlanDocument.self, bytes)
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Failure(
            "cannot tell: the daemon at \(address) is too busy to answer",
            status: Self.cannotTell
        )
    }

    /// How often an answer is asked for that is being made; this takes about 10 seconds.
    private static let patience = 500
}
