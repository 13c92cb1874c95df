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

    /// The number of warnings per namespace and period.
    package static let limit = 60
    package static let period = Duration.seconds(60)

    private var spent: [String: (since: ContinuousClock.Instant, count: Int)] = [:]

    package init() {}

    package mutating func spend(
        _ namespace: String,
        at now: ContinuousClock.Instant
    ) -> Verdict {
        if let since = spent[namespace]?.since, now - since >= Self.period {
            spent[namespace] = nil
        }
        let count = spent[namespace, default: (now, 0)].count + 1
        spent[namespace, default: (now, 0)].count = count
        if count < Self.limit { return .tell }
        return count == Self.limit ? .tellAsLast : .leaveOut
    }
}
