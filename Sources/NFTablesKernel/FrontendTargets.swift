internal import NetworkTypes
internal import Netlink
internal import ServicePlan

/// Where connections of a frontend may go after a commit.
struct FrontendTargets {
    /// Nil: a frontend that no Service has any more; nothing may go there.
    private var pools: Pools?

    fileprivate struct Pools {
        /// For everyone, or for pods and the node.
        let cluster: Pool?
        let local: Pool?
        /// External traffic policy Local: all others go to endpoints of this node.
        let isSplit: Bool
        let allowedSources: [IPPrefix]?
        /// The policy Local has just come: who is no pod no longer shares the node's address, and is
        /// not sent where it was.
        let becameLocal: Bool
    }

    init() {}

    init(_ frontend: Frontend, of plan: ServicePlan, becameLocal: Bool) {
        let (cluster, local) = plan.pools(of: frontend)
        let isSplit = if case .split = frontend.action { true } else { false }
        pools = Pools(
            cluster: cluster,
            local: local,
            isSplit: isSplit,
            allowedSources: frontend.allowedSources.map(IPPrefix.aggregated),
            becameLocal: becameLocal && isSplit
        )
    }

    /// Who may keep a connection.
    struct Verdict: Equatable {
        /// Clients that are neither pods nor this node.
        let outsiders: Bool
        let insiders: Bool

        static let all = Verdict(outsiders: true, insiders: true)
        static let nobody = Verdict(outsiders: false, insiders: false)
    }

    /// What becomes of an existing connection.
    ///
    /// Endpoints that terminate and still serve keep theirs.
    func verdict(_ connection: TrackedConnection) -> Verdict {
        guard let pools, pools.admits(connection.clientAddress) else { return .nobody }
        let place = Endpoint(connection.endpointAddress, connection.endpointPort, isLocal: false)
        let isServed = pools.cluster?.serves(place) == true
        guard pools.isSplit else { return isServed ? .all : .nobody }
        let isMasqueraded = connection.seenAsAddress != connection.clientAddress
        return Verdict(
            outsiders: pools.serveOutsiders(place) && !(pools.becameLocal && isMasqueraded),
            insiders: isServed
        )
    }

    /// Whether a client may be sent here again.
    func mayRemember(_ address: IPAddress, _ port: UInt16) -> Bool {
        guard let pools else { return false }
        let place = Endpoint(address, port, isLocal: false)
        if pools.local?.endpoints.has(place) == true { return true }
        // A client may remember an endpoint that the policy Local, when it came, has taken from it.
        return !pools.becameLocal && pools.cluster?.endpoints.has(place) == true
    }

    /// Whether everyone who was allowed before is allowed now.
    func covers(_ old: FrontendTargets) -> Bool {
        guard let before = old.pools, let pools, !pools.becameLocal else { return false }
        guard pools.allowedSources == nil || pools.allowedSources == before.allowedSources,
            Self.covers(pools.cluster, before.cluster)
        else { return false }
        guard pools.isSplit else { return Self.covers(pools.cluster, before.local) }
        return before.isSplit && Self.covers(pools.local, before.local)
            // Those that drain serve outsiders from this node only.
            && pools.cluster?.draining == before.cluster?.draining
    }

    private static func covers(_ pool: Pool?, _ old: Pool?) -> Bool {
        guard let old else { return true }
        guard let pool else { return false }
        if pool == old { return true }
        return old.endpoints.allSatisfy(pool.endpoints.has)
            && old.draining.allSatisfy(pool.serves)
    }
}

extension FrontendTargets.Pools {
    fileprivate func admits(_ client: IPAddress) -> Bool {
        guard let allowedSources else { return true }
        // The last range that begins at the client or before.
        let index = allowedSources.partitioningIndex { client < $0.base }
        return index > 0 && allowedSources[index - 1].contains(client)
    }

    /// Whether an endpoint serves clients that are no pods and not the node.
    fileprivate func serveOutsiders(_ place: Endpoint) -> Bool {
        if local?.endpoints.has(place) == true { return true }
        return [cluster, local].contains { $0?.draining.element(at: place)?.isLocal == true }
    }
}

extension Pool {
    /// Whether a connection to an endpoint may go on.
    fileprivate func serves(_ place: Endpoint) -> Bool {
        endpoints.has(place) || draining.has(place)
    }
}

extension [Endpoint] {
    /// Of a sorted list, the one with this address and port.
    fileprivate func element(at place: Endpoint) -> Endpoint? {
        let index = partitioningIndex { !($0 < place) }
        return index < count && !(place < self[index]) ? self[index] : nil
    }

    fileprivate func has(_ place: Endpoint) -> Bool { element(at: place) != nil }
}

extension Array {
    /// The index of the first element that belongs to the second part of a list in two parts.
    fileprivate func partitioningIndex(_ isSecond: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = low + (high - low) / 2
            if isSecond(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
