/// Limits the warnings about the objects of each namespace.
///
/// Users who may write objects in a namespace decide how many warnings there are; they must not be
/// able to fill the node's log.
package struct WarningBudget: Sendable {
    package enum Verdict: Sendable, Hashable {
        case tell
        /// Tell the warning, and say that the next ones are left out.
        case tellAsLast
        case leaveOut
    }

    package static let period = Duration.seconds(60)

    private var spent: [String: (since: ContinuousClock.Instant, count: Int)] = [:]

    /// The number of warnings per namespace and period.
    private let limit: Int

    package init(limit: Int) { self.limit = limit }

    package mutating func spend(
        _ namespace: String,
        at now: ContinuousClock.Instant
    ) -> Verdict {
        if let since = spent[namespace]?.since, now - since >= Self.period {
            spent[namespace] = nil
        }
        let count = spent[namespace, default: (now, 0)].count + 1
        spent[namespace, default: (now, 0)].count = count
        if count < limit { return .tell }
        return count == limit ? .tellAsLast : .leaveOut
    }
}
