/// A copy of the journal, to be read.
package struct JournalView: Sendable {
    let ring: JournalRing
    let epoch: ContinuousClock.Instant

    /// The time from which on everything is known; nil while the journal is empty.
    package var since: ContinuousClock.Instant? { ring.since.map { epoch + .nanoseconds($0) } }

    /// The number that the next entry will get.
    package var next: UInt64 { ring.next }

    package struct Page: Sendable {
        package let entries: [JournalEntry]
        /// The number from which on the next page begins.
        package let next: UInt64
    }

    /// Returns entries, the oldest first.
    ///
    /// - Parameters:
    /// - number: the number of the first entry
    /// - since: the time of the earliest entry; nil for any
    /// - service: the only Service whose changes are wanted; nil for all
    /// - limit: the largest number of entries
    package func page(
        from number: UInt64 = 0,
        since: ContinuousClock.Instant? = nil,
        service: String? = nil,
        limit: Int
    ) -> Page {
        let earliest = since.map { ($0 - epoch).nanoseconds } ?? 0
        let wanted = service.map { Array($0.utf8) }
        var entries: [JournalEntry] = []
        var next = max(number, ring.chunks.first?.first ?? 0)
        for chunk in ring.chunks where chunk.first + chunk.count > number {
            guard chunk.lastTime >= Int64(truncatingIfNeeded: earliest) else { continue }
            chunk.forEach { own, bytes in
                guard own >= number else { return true }
                guard entries.count < limit else { return false }
                next = own + 1
                var reader = JournalReader(bytes)
                let time = reader.number()
                guard time >= earliest, let content = reader.content(of: wanted) else {
                    return true
                }
                let moment = epoch + .nanoseconds(Int64(truncatingIfNeeded: time))
                entries.append(JournalEntry(number: own, time: moment, content: content))
                return true
            }
            if entries.count == limit { break }
        }
        return Page(entries: entries, next: entries.count < limit ? ring.next : next)
    }
}
