package import NetworkTypes
package import ServicePlan

/// A virtual server (`ipvsadm -A`) with its destinations (`-a`), all by masquerading NAT.
package struct VirtualServer: Sendable, Hashable {
    package var key: FrontendKey
    package var scheduler: String
    package var flags: Flags
    /// Seconds for which a client stays with its destination (`-p`); nil: not at all.
    package var persistence: UInt32?
    /// Sorted; each address and port once.
    package var destinations: [Destination]

    package init(
        key: FrontendKey,
        scheduler: String,
        flags: Flags = .ours,
        persistence: UInt32? = nil,
        destinations: [Destination] = []
    ) {
        (self.key, self.scheduler, self.flags) = (key, scheduler, flags)
        (self.persistence, self.destinations) = (persistence, destinations)
    }

    /// The scheduler flags of `IP_VS_SVC_F_…` (`linux/ip_vs.h`).
    package struct Flags: OptionSet, Sendable, Hashable {
        package let rawValue: UInt32

        package init(rawValue: UInt32) { self.rawValue = rawValue }

        package static let schedulerFlag1 = Flags(rawValue: 0x08)
        /// `sh-port`, `mh-port`: the client's port counts too.
        package static let usesPort = Flags(rawValue: 0x10)
        /// Scheduler flag 3 means nothing to any scheduler: it tells needletail's virtual servers
        /// from those of others, in the object itself and across restarts.
        package static let ours = Flags(rawValue: 0x20)
    }

    /// All but the destinations.
    package var attributes: VirtualServer {
        VirtualServer(key: key, scheduler: scheduler, flags: flags, persistence: persistence)
    }

    /// A server that sends new connections where they were sent: to its own address and port.
    ///
    /// IPVS hands what goes to an address of the node on to the node, and what goes to another one to
    /// the network (`net/netfilter/ipvs/ip_vs_xmit.c: ip_vs_nat_xmit`).
    static func passing(_ key: FrontendKey, _ defaults: BalancingDefaults) -> VirtualServer {
        VirtualServer(
            key: key,
            scheduler: defaults.plainScheduler,
            destinations: [Destination(key.address, key.port)]
        )
    }
}

/// What IPVS has counted of a virtual server or a destination, since it exists.
package struct ServerStatistics: Sendable, Hashable {
    package var connections: UInt64 = 0
    package var packetsIn: UInt64 = 0
    package var packetsOut: UInt64 = 0
    package var bytesIn: UInt64 = 0
    package var bytesOut: UInt64 = 0

    package init() {}
}

/// Where a virtual server sends connections: a real server, an endpoint.
package struct Destination: Sendable, Hashable {
    package var address: IPAddress
    package var port: UInt16
    /// 0: keeps its connections and gets no new ones.
    package var weight: UInt32

    package init(_ address: IPAddress, _ port: UInt16, weight: UInt32 = 1) {
        (self.address, self.port, self.weight) = (address, port, weight)
    }

    package typealias ID = AddressAndPort

    package var id: ID { AddressAndPort(address, port) }
}

/// How the plans of a node become virtual servers.
package struct BalancingDefaults: Sendable, Hashable {
    package var scheduler: String
    package var refusals = Refusals()

    package init(scheduler: String = "rr") { self.scheduler = scheduler }

    /// The simplest one; the node's if the kernel lacks that.
    var plainScheduler: String { refusals.schedulers.contains("rr") ? scheduler : "rr" }
}

/// What this kernel refuses of what Services ask for; everything else goes on without it.
package struct Refusals: Sendable, Hashable {
    /// Schedulers that it does not have: the node's default takes their place.
    package var schedulers: Set<String> = []
    /// Addresses that cannot be destinations: broadcast addresses of the node's networks, say.
    package var destinations: Set<IPAddress> = []
    /// Virtual servers that other programs have made.
    package var servers: Set<FrontendKey> = []

    package init() {}
}

extension ServicePlan {
    /// The virtual servers of the plan.
    ///
    /// A frontend that is split serves its external clients with one; for pods and the node the
    /// rules choose (`Program`). Frontends that reject or drop have none: the rules do that.
    package func virtualServers(_ defaults: BalancingDefaults) -> [VirtualServer] {
        frontends.compactMap { server($0, defaults) }
    }

    /// The virtual server of one of the plan's frontends; nil if it has none.
    func server(_ frontend: Frontend, _ defaults: BalancingDefaults) -> VirtualServer? {
        guard let pool = frontend.action.outerPool,
            !defaults.refusals.servers.contains(frontend.key)
        else { return nil }
        var scheduler = scheduler ?? defaults.scheduler
        if defaults.refusals.schedulers.contains(scheduler) { scheduler = defaults.scheduler }
        return VirtualServer(
            key: frontend.key,
            scheduler: scheduler,
            // As kube-proxy does for Maglev: without the port a client has one endpoint.
            flags: scheduler == "mh" ? [.ours, .usesPort] : .ours,
            persistence: frontend.affinityTimeout,
            destinations: destinations(pools[pool], refused: defaults.refusals.destinations)
        )
    }

    private func destinations(_ pool: Pool, refused: Set<IPAddress>) -> [Destination] {
        let balanced = pool.endpoints.map {
            Destination($0.address, $0.port, weight: UInt32(weights[$0.address] ?? 1))
        }
        let draining = pool.draining.map { Destination($0.address, $0.port, weight: 0) }
        var known: Set<Destination.ID> = []
        return (balanced + draining)
            .filter { destination in
                !destination.address.isNeverDestination && !refused.contains(destination.address)
                    && known.insert(destination.id).inserted
            }
            .sorted { $0.id < $1.id }
    }

    /// Whether two plans mean the same virtual server by a frontend of both.
    func hasSameServer(_ frontend: Frontend, as other: Frontend, of plan: ServicePlan) -> Bool {
        let pool = { (plan: ServicePlan, frontend: Frontend) in
            frontend.action.outerPool.map { plan.pools[$0] }
        }
        return frontend.affinityTimeout == other.affinityTimeout && scheduler == plan.scheduler
            && weights == plan.weights && pool(self, frontend) == pool(plan, other)
    }

    /// The addresses that the node takes for its own, so that IPVS sees their packets.
    ///
    /// Of external addresses only the frontends' packets come here: others may have the address.
    package var virtualAddresses: Set<IPAddress> {
        Set(frontends.lazy.filter { $0.kind == .clusterIP }.map(\.key.address))
    }
}

extension IPAddress {
    /// Whether IPVS takes it for no destination, whatever the networks of the node are: broadcast to
    /// this network, and multicast (`net/netfilter/ipvs/ip_vs_ctl.c: __ip_vs_update_dest`).
    fileprivate var isNeverDestination: Bool {
        switch family {
        case .ipv4: low >> 24 == 0 || low >> 28 == 0xE || low == 0xFFFF_FFFF
        case .ipv6: high >> 56 == 0xFF || high == 0 && low == 0
        }
    }
}

/// The dummy device that makes cluster IPs the node's own; kube-proxy's name for it.
package enum VirtualDevice {
    package static let name = "kube-ipvs0"
}
