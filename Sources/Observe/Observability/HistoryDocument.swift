internal import Backend
package import Journal
internal import Reconciler
internal import ServicePlan

/// A page of the journal: the content of `/history`.
package struct HistoryDocument: Codable, Sendable {
    package struct Object: Codable, Sendable {
        package let kind: String
        package let name: String
        /// The resource version of the object, or of the list that it came with.
        package let resourceVersion: String?
        /// True if the resource version is that of a list.
        package let isFromList: Bool?
        package let isDeleted: Bool?
    }

    package struct Entry: Codable, Sendable {
        package enum Kind: String, Codable, Sendable {
            case began, change, refused, foreignChange, repaired, corrected, node
        }

        package let number: UInt64
        /// When it happened; for changes, when the kernel had taken them.
        package let at: String
        package let kind: Kind
        package let service: String?
        /// The objects because of which a plan changed.
        package let objects: [Object]?
        /// When the oldest event arrived from the API.
        package let arrived: String?
        package let compiled: String?
        /// From the event to the kernel's answer.
        package let milliseconds: Double?
        package let text: String
    }

    package let node: String
    /// When the daemon started; numbers begin again then.
    package let journal: String
    /// From when on everything is known; nil before the first sync.
    package let reachesBackTo: String?
    /// Whether the journal has everything since the time that was asked for.
    package let isComplete: Bool
    package let entries: [Entry]
    /// The number from which on the next page begins.
    package let next: UInt64
    /// Whether the next page has entries already.
    package let hasMore: Bool

    /// The largest number of entries of a page.
    package static let limit = 200

    /// - Parameters:
    /// - since: the time that was asked for; nil for any
    /// - journal: when the daemon started, always in the same words
    package init(
        _ view: JournalView,
        _ page: JournalView.Page,
        since: ContinuousClock.Instant?,
        node: String,
        journal: String,
        now: Moment
    ) {
        (self.node, self.journal) = (node, journal)
        isComplete = since.map { since in view.since.map { $0 <= since } ?? false } ?? true
        reachesBackTo = view.since.map { now.text(of: $0) }
        entries = page.entries.map { Entry($0, now) }
        next = page.next
        hasMore = page.next < view.next
    }

    package var json: String { jsonText(self) }
}

extension HistoryDocument.Entry {
    package init(_ entry: JournalEntry, _ now: Moment) {
        let (kind, text) = Self.words(entry.content)
        var change: JournalEntry.Change?
        if case .change(let known) = entry.content { change = known }
        let arrived = change?.arrivedBefore
        self.init(
            number: entry.number,
            at: now.text(of: entry.time),
            kind: kind,
            service: change?.service,
            objects: change?.causes.map(HistoryDocument.Object.init),
            arrived: arrived.map { now.text(of: entry.time - $0) },
            compiled: change.map { now.text(of: entry.time - $0.compiledBefore) },
            milliseconds: arrived.map { ($0.seconds * 1e6).rounded() / 1e3 },
            text: text
        )
    }

    private static func words(_ content: JournalEntry.Content) -> (Kind, String) {
        switch content {
        case .began(let services, let work):
            (.began, "\(services) Services were programmed at the start: \(text(work))")
        case .change(let change):
            (
                .change,
                change.delta?.text ?? "a change too large to be kept; its plan before is not known"
            )
        case .refused(let reason, let waiting, let count, let pause):
            (.refused, refusal(reason, waiting, count, pause))
        case .foreignChange(let object, let pause):
            (
                .foreignChange,
                "another program changed needletail's \(object.words)"
                    + (pause > .zero ? "; the repair waits \(pause)" : "")
            )
        case .repaired(let work): (.repaired, text(work))
        case .corrected(let work): (.corrected, "the kernel held something else: \(text(work))")
        case .node(let facts): (.node, facts.joined(separator: "; "))
        }
    }

    private static func refusal(
        _ reason: String,
        _ waiting: [String],
        _ count: Int,
        _ pause: Duration?
    ) -> String {
        var text = reason
        if !waiting.isEmpty {
            text += "; for \(waiting.joined(separator: ", "))"
            if count > waiting.count { text += " and \(count - waiting.count) more" }
        }
        return text + (pause.map { "; next attempt after \($0)" } ?? "; everything was read again")
    }

    private static func text(_ work: JournalEntry.Work) -> String {
        guard !work.isEmpty else { return "nothing was missing" }
        return [
            (work.added, "element", "added"), (work.removed, "element", "removed"),
            (work.objects, "change", "of tables, chains, sets and rules"),
            (work.servers, "change", "of IPVS"),
        ]
        .filter { $0.0 > 0 }.map { "\($0.0) \($0.1)\($0.0 == 1 ? "" : "s") \($0.2)" }
        .joined(separator: ", ")
    }
}

extension HistoryDocument.Object {
    init(_ cause: JournalEntry.Cause) {
        let kind =
            switch cause.kind {
            case .service: "Service"
            case .endpointSlice: "EndpointSlice"
            case .endpoints: "Endpoints"
            }
        self.init(
            kind: kind,
            name: cause.name,
            resourceVersion: cause.version.isEmpty ? nil : cause.version,
            isFromList: cause.isList ? true : nil,
            isDeleted: cause.isRemoval ? true : nil
        )
    }
}
