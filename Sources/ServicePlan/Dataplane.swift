package import NetworkTypes

/// What a dataplane is asked to change.
package enum PlanChanges: Sendable {
    /// These plans and no others; the dataplane reads the kernel first.
    case everything([ServicePlan])
    /// The named Services changed; nil: the Service is gone.
    case some([(service: String, plan: ServicePlan?)])
}

/// A look at tracked connections.
package struct ConnectionCleanup: Sendable, Hashable {
    package let deleted: Int
    package let duration: Duration

    package init(deleted: Int, duration: Duration) {
        (self.deleted, self.duration) = (deleted, duration)
    }
}

/// What a commit did.
package struct CommitReport: Sendable, Hashable {
    package var elementsAdded = 0
    package var elementsRemoved = 0
    /// Other operations: tables, chains, sets, rules.
    package var objectsChanged = 0
    /// Virtual servers, their destinations and addresses, of IPVS.
    package var serversChanged = 0
    package var bytes = 0
    /// Stale connection tracking and affinity entries that were deleted.
    package var staleEntriesRemoved = 0
    /// What looking for stale connections took, and how many were deleted.
    package var connectionCleanups: [IPFamily: ConnectionCleanup] = [:]

    package init() {}

    package mutating func add(_ other: CommitReport) {
        elementsAdded += other.elementsAdded
        elementsRemoved += other.elementsRemoved
        objectsChanged += other.objectsChanged
        serversChanged += other.serversChanged
        bytes += other.bytes
        staleEntriesRemoved += other.staleEntriesRemoved
        connectionCleanups.merge(other.connectionCleanups) { $1 }
    }

    package var isEmpty: Bool {
        elementsAdded + elementsRemoved + objectsChanged + serversChanged == 0
    }
}

/// Programs a kernel.
package protocol Dataplane: Sendable {
    /// Makes the kernel hold what the plans say, in one transaction for each IP family.
    ///
    /// After an error the next call must be with `.everything`.
    func commit(_ changes: PlanChanges, node: NodeFacts) async throws(CommitError) -> CommitReport

    /// Does what time alone makes due.
    ///
    /// After an error the next commit must be with `.everything`.
    func maintain() async throws(CommitError) -> Maintenance

    /// How many connections the kernel has counted, by `namespace/name`, if it does.
    func connectionCounts() async -> [String: UInt64]
}

/// How maintenance goes on.
package enum Maintenance: Sendable, Hashable {
    /// There is nothing that time brings.
    case finished
    case again(after: Duration)
    /// A commit of everything is due, and then as before.
    case resync
}

extension Dataplane {
    package func maintain() async throws(CommitError) -> Maintenance { .finished }
}

/// Why a commit failed, and what can be done about it.
package struct CommitError: Error, Sendable, CustomStringConvertible {
    package enum Recovery: Sendable, Hashable {
        /// A full sync after a pause may succeed.
        case retry
        /// The kernel no longer holds what was committed: a full sync, at once.
        case rereadKernel
        /// Somebody must change something; the text says what.
        case operatorAction(String)
    }

    package let what: String
    package let recovery: Recovery

    package init(_ what: String, recovery: Recovery) {
        self.what = what
        self.recovery = recovery
    }

    package var description: String {
        switch recovery {
        case .retry, .rereadKernel: what
        case .operatorAction(let advice): "\(what); \(advice)"
        }
    }
}
