package import NetworkTypes
package import ServicePlan

/// The plan that the kernel had of a Service at a moment, with what is known about its parts.
package struct PastPlan: Sendable {
    package enum Failure: Error, Sendable, Hashable {
        /// The journal begins later, or nothing has happened yet.
        case beforeJournal
        /// A change since then was too large to be kept.
        case tooLargeChange(at: ContinuousClock.Instant)
        /// The changes do not lead to the plan of now.
        case mismatch
    }

    /// Nil: there was none.
    package let plan: ServicePlan?
    /// When frontends became what they were; those that were so before the journal begins are
    /// missing.
    package private(set) var frontendsSince: [FrontendKey: ContinuousClock.Instant] = [:]
    /// When endpoints came.
    package private(set) var endpointsSince: [AddressAndPort: ContinuousClock.Instant] = [:]
    /// What happened after the moment: changes of the Service, and what concerns all.
    package private(set) var later: [JournalEntry] = []
    /// The foreign change that was not repaired at that moment.
    package private(set) var damage: JournalEntry?

    /// Goes back from the present.
    ///
    /// - Parameter now: the plan that the kernel has taken last, when the view was made
    package init(
        of service: String,
        at moment: ContinuousClock.Instant,
        now: ServicePlan?,
        _ view: JournalView
    ) throws(Failure) {
        guard let since = view.since, since <= moment else { throw .beforeJournal }
        let entries = view.page(service: service, limit: .max).entries
        let earlier = entries.prefix { $0.time <= moment }
        later = Array(entries.dropFirst(earlier.count))
        var plan = now
        for entry in later.reversed() {
            guard case .change(let change) = entry.content else { continue }
            guard let delta = change.delta else { throw .tooLargeChange(at: entry.time) }
            do throws(PlanDelta.Mismatch) {
                plan = try delta.undone(from: plan, of: service)
            } catch {
                throw .mismatch
            }
        }
        self.plan = plan
        for entry in earlier {
            switch entry.content {
            case .foreignChange: damage = damage ?? entry
            case .repaired, .corrected: damage = nil
            case .began, .change, .refused, .node: break
            }
        }
        findBeginnings(of: service, in: earlier)
    }

    /// Goes further back, and finds when the parts of the plan came.
    private mutating func findBeginnings(
        of service: String,
        in earlier: some BidirectionalCollection<JournalEntry>
    ) {
        var plan = plan
        for entry in earlier.reversed() {
            guard case .change(let change) = entry.content else { continue }
            guard let delta = change.delta,
                case .success(let older) = Result(catching: { () throws(PlanDelta.Mismatch) in
                    try delta.undone(from: plan, of: service)
                })
            else { return }
            for step in delta.steps {
                switch step {
                case .frontend(let frontend, .added) where frontendsSince[frontend.key] == nil:
                    frontendsSince[frontend.key] = entry.time
                case .endpoint(let endpoint, _, isDraining: false, .added)
                where endpointsSince[endpoint.place] == nil && !older.balances(to: endpoint):
                    endpointsSince[endpoint.place] = entry.time
                default: break
                }
            }
            plan = older
        }
    }
}

extension ServicePlan? {
    fileprivate func balances(to endpoint: Endpoint) -> Bool {
        self?.pools.contains { $0.endpoints.contains { $0.place == endpoint.place } } ?? false
    }
}
