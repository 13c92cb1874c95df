package import NetworkTypes

/// The effects of a commit.
package struct CommitReport: Sendable, Hashable {
    package var elementsAdded = 0
    package var elementsRemoved = 0
    /// Operations on tables, chains, sets and rules.
    package var objectsChanged = 0
    /// Operations on IPVS virtual servers, their destinations and their addresses.
    package var serversChanged = 0
    package var bytes = 0
    /// The number of stale connection tracking and affinity entries that were deleted.
    package var staleEntriesRemoved = 0
    /// The searches for stale connections that this commit made, by IP family.
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

/// A search for stale connections: how many it deleted and how long it took.
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
        /// Adopt everything after a pause; that may succeed.
        case retry
        /// Adopt everything at once: the kernel no longer holds what was committed.
        case rereadKernel
        /// Somebody must change something on the node; the text says what.
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
