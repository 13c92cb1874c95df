internal import Backend
package import Journal
internal import ServicePlan
package import Reconciler

/// The content of `needletail status` and `/status`.
package struct StatusDocument: Codable, Sendable {
    package struct Sync: Codable, Sendable {
        package let at: String
        /// The scope of the sync: `everything` or `changes`.
        package let scope: String
        package let milliseconds: Double
        package let elementsAdded: Int
        package let elementsRemoved: Int
        package let serversChanged: Int
        package let bytes: Int

        init(_ record: SyncRecord, at time: String) {
            at = time
            scope = record.isFull ? "everything" : "changes"
            milliseconds = ((record.compiling + record.committing).seconds * 1e6).rounded() / 1e3
            elementsAdded = record.report.elementsAdded
            elementsRemoved = record.report.elementsRemoved
            serversChanged = record.report.serversChanged
            bytes = record.report.bytes
        }
    }

    package struct Drift: Codable, Sendable {
        package let detected: Int
        package let repaired: Int
        package let last: String?
    }

    /// How far the start has come; times in seconds, nil for what is not reached.
    package struct Start: Codable, Sendable {
        /// From the start of the program until all lists had arrived.
        package let lists: Double?
        /// From then on until the Services of the API server and DNS were programmed.
        package let firstServices: Double?
        /// From then on until all Services were programmed.
        package let all: Double?
        package let services: Int
        package let programmed: Int

        package init(_ figures: StartProgress.Figures) {
            lists = figures.lists?.seconds
            firstServices = figures.firstServices?.seconds
            all = figures.all?.seconds
            (services, programmed) = (figures.services, figures.programmed)
        }
    }

    /// Bytes of headers and bodies since the start.
    package struct Traffic: Codable, Sendable {
        package let received: Int
        package let sent: Int

        package init(received: Int, sent: Int) { (self.received, self.sent) = (received, sent) }
    }

    package struct History: Codable, Sendable {
        /// From when on the journal knows everything; nil before the first sync.
        package let reachesBackTo: String?
        package let entries: Int
        package let bytes: Int

        package init(_ journal: Journal, now: Moment = .now) {
            let figures = journal.figures
            reachesBackTo = figures.since.map { now.text(of: $0) }
            (entries, bytes) = (figures.count, figures.bytes)
        }
    }

    package let version: String
    package let mode: String
    package let node: String
    package let started: String
    package let ready: Bool
    package let reason: String?
    package let nodeEligible: Bool
    package let notEligibleReason: String?
    package let services: Int
    package let endpoints: Int
    package let pendingChanges: Int
    package let missingLists: [String]
    package let lastSync: Sync?
    package let drift: Drift
    /// The obstacles to forwarding; nil from a daemon that does not look for them.
    package let forwarding: [String]?
    package let apiViewAgeSeconds: [String: Double]
    package let families: [String: Bool]
    /// Nil from a daemon that does not measure it.
    package var start: Start?
    /// What was exchanged with API servers; nil from a daemon that follows none.
    package var traffic: Traffic?
    /// What the journal has; nil from a daemon without one.
    package var history: History?

    package var json: String { jsonText(self, pretty: true) }
}
