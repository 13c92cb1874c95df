package import NetworkTypes

/// What a commit did.
package struct CommitReport: Sendable, Hashable {
    package var elementsAdded = 0
    package var elementsRemoved = 0
    /// Other operations: tables, chains, sets, rules.
    package var objectsChanged = 0
    /// Operations on virtual servers, their destinations and addresses.
    package var serversChanged = 0
    package var bytes = 0
    /// Stale entries of connection tracking and affinity that were deleted.
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

/// A look at tracked connections.
package struct ConnectionCleanup: Sendable, Hashable {
    package let deleted: Int
    package let duration: Duration

    package init(deleted: Int, duration: Duration) {
        (self.deleted, self.duration) = (deleted, duration)
    }
}

/// Why a commit failed, and what can be done about it.
package struct CommitError: Error, Sendable, CustomStringConvertible {
    package enum Recovery: Sendable, Hashable {
        /// Adopting everything after a pause may succeed.
        case retry
        /// The kernel no longer holds what was committed: everything must be adopted, at once.
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
