internal import NetworkTypes
internal import Netlink
internal import ServicePlan

/// The endpoints to which connections of a frontend may go after a commit.
struct FrontendTargets {
    /// The frontend's pools; nil if no Service has the frontend any more, so that no connection may
    /// go on.
    private var pools: Pools?

    fileprivate struct Pools {
        /// The pool for everyone or, if clients are split, for pods and the node.
        let cluster: Pool?
        let local: Pool?
        /// Whether all other clients go to endpoints of this node (external traffic policy Local).
        let isSplit: Bool
        let allowedSources: [IPPrefix]?
        /// Whether the external traffic policy has just become Local.
        ///
        /// Then clients other than pods are no longer masqueraded, and may not keep their old
        /// endpoints.
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

    /// The groups of clients that may keep a connection.
    struct Verdict: Equatable {
        /// Whether clients that are neither pods nor this node may keep it.
        let outsiders: Bool
        let insiders: Bool

        static let all = Verdict(outsiders: true, insiders: true)
        static let nobody = Verdict(outsiders: false, insiders: false)
    }

    /// Returns who may keep an existing connection.
    ///
    /// Connections to terminating endpoints that still serve may be kept.
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

    /// Whether clients may be sent to this endpoint again.
    func mayRemember(_ address: IPAddress, _ port: UInt16) -> Bool {
        guard let pools else { return false }
        let place = Endpoint(address, port, isLocal: false)
        if pools.local?.endpoints.has(place) == true { return true }
        // When the policy has just become Local, an entry may belong to a client that may no longer
        // use an endpoint of another node.
        return !pools.becameLocal && pools.cluster?.endpoints.has(place) == true
    }

    /// Whether every connection that was allowed before is still allowed.
    func covers(_ old: FrontendTargets) -> Bool {
        guard let before = old.pools, let pools, !pools.becameLocal else { return false }
        guard pools.allowedSources == nil || pools.allowedSources == before.allowedSources,
            Self.covers(pools.cluster, before.cluster)
        else { return false }
        guard pools.isSplit else { return Self.covers(pools.cluster, before.local) }
        return before.isSplit && Self.covers(pools.local, before.local)
            // Draining endpoints serve outsiders only if they are on this node.
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
        // This finds the last range that begins at or before the client's address.
        let index = allowedSources.partitioningIndex { client < $0.base }
        return index > 0 && allowedSources[index - 1].contains(client)
    }

    /// Whether an endpoint serves clients that are neither pods nor the node.
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
    /// Returns the endpoint with this address and port from the sorted list.
    fileprivate func element(at place: Endpoint) -> Endpoint? {
        let index = partitioningIndex { !($0 < place) }
        return index < count && !(place < self[index]) ? self[index] : nil
    }

    fileprivate func has(_ place: Endpoint) -> Bool { element(at: place) != nil }
}

extension Array {
    /// Returns the index of the first element for which `isSecond` is true; all later ones must be
    /// too.
    fileprivate func partitioningIndex(_ isSecond: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = low + (high - low) / 2
            if isSecond(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
