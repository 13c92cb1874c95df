internal import Observability

/// A status on one screen.
enum StatusText {
    static func lines(_ status: StatusDocument) -> [String] {
        var rows: [(String, String)] = [
            ("needletail", "\(status.version), mode \(status.mode), node \(status.node)"),
            ("since", status.started),
            ("ready", status.ready ? "yes" : "no: \(status.reason ?? "")"),
            ("healthy", families(status)),
            ("node", status.nodeEligible ? "takes connections" : "takes no new connections"),
            ("Services", "\(status.services)"),
            ("endpoints", "\(status.endpoints)"),
            ("pending", "\(status.pendingChanges) changes"),
            ("last sync", lastSync(status)),
            ("drift", drift(status)),
        ]
        rows +=
            status.forwarding.isEmpty
            ? [("forwarding", "nothing seen that would stop it")]
            : status.forwarding.map { ("forwarding", "may be stopped: \($0)") }
        if !status.missingLists.isEmpty {
            rows.append(("waiting for", status.missingLists.joined(separator: ", ")))
        }
        for (resource, age) in status.apiViewAgeSeconds.sorted(by: { $0.key < $1.key }) {
            rows.append(("API", "\(resource): heard \(wholeSeconds(age)) s ago"))
        }
        return rows.map { name, value in
            name + String(repeating: " ", count: max(1, 13 - name.count)) + value + "\n"
        }
    }

    /// Whatever answers on the port may tell any number.
    private static func wholeSeconds(_ seconds: Double) -> String {
        Int(exactly: seconds.rounded(.towardZero)).map(String.init) ?? "\(seconds)"
    }

    private static func families(_ status: StatusDocument) -> String {
        status.families.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value ? "yes" : "no")" }
            .joined(separator: ", ")
    }

    private static func lastSync(_ status: StatusDocument) -> String {
        guard let sync = status.lastSync else { return "none" }
        return "\(sync.at), of \(sync.scope), \(sync.milliseconds) ms: "
            + "\(sync.elementsAdded) elements added, \(sync.elementsRemoved) removed"
            + (sync.serversChanged > 0 ? ", \(sync.serversChanged) changes of IPVS" : "")
    }

    private static func drift(_ status: StatusDocument) -> String {
        let drift = status.drift
        return "\(drift.detected) times noticed, \(drift.repaired) repaired"
            + (drift.last.map { ", last \($0)" } ?? "")
    }
}
