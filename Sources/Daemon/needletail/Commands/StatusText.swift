internal import NetworkTypes
internal import Observability

/// The text of a status, which fits on one screen.
enum StatusText {
    static func lines(_ status: StatusDocument) -> [String] {
        var rows: [(String, String)] = [
            ("needletail", "\(status.version), mode \(status.mode), node \(status.node)"),
            ("since", status.started),
            ("ready", status.ready ? "yes" : "no: \(status.reason ?? "")"),
            ("healthy", families(status)),
            ("node", eligibility(status)),
            ("Services", "\(status.services)"),
            ("endpoints", "\(status.endpoints)"),
            ("pending", "\(status.pendingChanges) changes not programmed yet"),
            ("start", start(status)),
            ("last sync", lastSync(status)),
            ("drift", drift(status)),
        ]
        rows +=
            status.forwarding?.isEmpty == true
            ? [("forwarding", "found nothing that would stop it")]
            : (status.forwarding ?? []).map { ("forwarding", "may be stopped: \($0)") }
        if let history = status.history {
            let since = history.reachesBackTo ?? "the first sync, which is not done"
            rows.append(("history", "\(history.entries) entries since \(since)"))
        }
        if !status.missingLists.isEmpty {
            rows.append(
                ("waiting for", "the lists of \(status.missingLists.joined(separator: ", "))")
            )
        }
        for (resource, age) in status.apiViewAgeSeconds.sorted(by: { $0.key < $1.key }) {
            rows.append(("API", "\(resource): heard \(whole(age)) s ago"))
        }
        if let traffic = status.traffic {
            rows.append(
                ("API", "\(traffic.received) bytes received, \(traffic.sent) sent since the start")
            )
        }
        return rows.map { name, value in
            name + String(repeating: " ", count: max(1, 13 - name.count)) + value.printable + "\n"
        }
    }

    /// Returns a number without its fraction; a server on the port may send any number, even one too
    /// large for `Int`.
    private static func whole(_ number: Double) -> String {
        Int(exactly: number.rounded(.towardZero)).map(String.init) ?? "\(number)"
    }

    private static func eligibility(_ status: StatusDocument) -> String {
        guard !status.nodeEligible else { return "takes connections" }
        let reason = status.notEligibleReason.map { ": \($0)" } ?? ""
        return "load balancers are told to send nothing here (/healthz is 503)\(reason)"
    }

    private static func families(_ status: StatusDocument) -> String {
        status.families.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value ? "yes" : "no")" }
            .joined(separator: ", ")
    }

    private static func start(_ status: StatusDocument) -> String {
        guard let start = status.start else { return "not measured" }
        guard let lists = start.lists else { return "waiting for the lists" }
        let times = [("the first Services", start.firstServices), ("all", start.all)]
        let reached = times.compactMap { what, seconds in
            seconds.map { "\(what) programmed \(milliseconds($0)) ms later" }
        }
        let left =
            start.all == nil
            ? ["programming \(start.programmed) of \(start.services) Services"] : []
        return (["lists after \(milliseconds(lists)) ms"] + reached + left).joined(separator: ", ")
    }

    private static func milliseconds(_ seconds: Double) -> String { whole(seconds * 1000) }

    private static func lastSync(_ status: StatusDocument) -> String {
        guard let sync = status.lastSync else { return "none" }
        return "\(sync.at), of \(sync.scope), \(sync.milliseconds) ms: "
            + "\(sync.elementsAdded) elements added, \(sync.elementsRemoved) removed"
            + (sync.serversChanged > 0 ? ", \(sync.serversChanged) changes of IPVS" : "")
    }

    private static func drift(_ status: StatusDocument) -> String {
        let drift = status.drift
        return "changed by other programs \(drift.detected) times, repaired \(drift.repaired) times"
            + (drift.last.map { ", last \($0)" } ?? "")
    }
}
