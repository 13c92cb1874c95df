package import NetworkTypes
package import ServicePlan

/// A virtual server (`ipvsadm -A`) with its destinations (`-a`), to which it forwards by
/// masquerading (NAT).
package struct VirtualServer: Sendable, Hashable {
    package var key: FrontendKey
    package var scheduler: String
    package var flags: Flags
    /// How long a client stays with its destination (`-p`), in seconds; nil without affinity.
    package var persistence: UInt32?
    /// The destinations, sorted; each address and port occurs once.
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
        /// `sh-port` and `mh-port`: the hash includes the client's port.
        package static let usesPort = Flags(rawValue: 0x10)
        /// Scheduler flag 3, which no scheduler uses: it marks needletail's virtual servers, so
        /// that they are recognized after a restart.
        package static let ours = Flags(rawValue: 0x20)
    }

    /// The server without its destinations.
    package var attributes: VirtualServer {
        VirtualServer(key: key, scheduler: scheduler, flags: flags, persistence: persistence)
    }

    /// Returns a server whose only destination is its own address and port, so that it does not
    /// redirect new connections.
    ///
    /// IPVS delivers packets for an address of the node to the node, and sends all others to the
    /// network (`net/netfilter/ipvs/ip_vs_xmit.c: ip_vs_nat_xmit`).
    static func passing(_ key: FrontendKey, _ defaults: BalancingDefaults) -> VirtualServer {
        VirtualServer(
            key: key,
            scheduler: defaults.plainScheduler,
            destinations: [Destination(key.address, key.port)]
        )
    }
}

/// The counters of a virtual server or a destination since IPVS created it.
package struct ServerStatistics: Sendable, Hashable {
    package var connections: UInt64 = 0
    package var packetsIn: UInt64 = 0
    package var packetsOut: UInt64 = 0
    package var bytesIn: UInt64 = 0
    package var bytesOut: UInt64 = 0

    package init() {}
}

/// An endpoint to which a virtual server sends connections (a real server in the terms of ipvsadm).
package struct Destination: Sendable, Hashable {
    package var address: IPAddress
    package var port: UInt16
    /// The share of new connections; with 0 the destination keeps its connections and gets no new
    /// ones.
    package var weight: UInt32

    package init(_ address: IPAddress, _ port: UInt16, weight: UInt32 = 1) {
        (self.address, self.port, self.weight) = (address, port, weight)
    }

    package typealias ID = AddressAndPort

    package var id: ID { AddressAndPort(address, port) }
}

/// The node's settings for making virtual servers from plans.
package struct BalancingDefaults: Sendable, Hashable {
    package var scheduler: String
    package var refusals = Refusals()

    package init(scheduler: String = "rr") { self.scheduler = scheduler }

    /// The scheduler `rr`, or the node's default if the kernel does not have it.
    var plainScheduler: String { refusals.schedulers.contains("rr") ? scheduler : "rr" }
}

/// The requests of Services that this kernel refuses; everything else is programmed without them.
package struct Refusals: Sendable, Hashable {
    /// Schedulers that the kernel does not have; the node's default is used instead.
    package var schedulers: Set<String> = []
    /// Addresses that cannot be destinations, such as broadcast addresses of the node's networks.
    package var destinations: Set<IPAddress> = []
    /// The keys of virtual servers that belong to other programs.
    package var servers: Set<FrontendKey> = []

    package init() {}
}

extension ServicePlan {
    /// Returns the virtual servers of the plan.
    ///
    /// For a frontend that splits its clients, the virtual server is for external clients; for pods
    /// and the node the rules choose an endpoint (`Program`). A frontend that rejects or drops has
    /// no virtual server, since the rules do that.
    package func virtualServers(_ defaults: BalancingDefaults) -> [VirtualServer] {
        frontends.compactMap { server($0, defaults) }
    }

    /// Returns the virtual server of one of the plan's frontends; nil if it has none.
    func server(_ frontend: Frontend, _ defaults: BalancingDefaults) -> VirtualServer? {
        guard let pool = frontend.action.outerPool,
            !defaults.refusals.servers.contains(frontend.key)
        else { return nil }
        var scheduler = scheduler ?? defaults.scheduler
        if defaults.refusals.schedulers.contains(scheduler) { scheduler = defaults.scheduler }
        return VirtualServer(
            key: frontend.key,
            scheduler: scheduler,
            flags: Self.flags(scheduler),
            persistence: frontend.affinityTimeout,
            destinations: destinations(pools[pool], refused: defaults.refusals.destinations)
        )
    }

    /// Returns the flags of a server with the scheduler.
    ///
    /// A scheduler that hashes keeps the places of a destination that has weight 0, and refuses who
    /// falls on one, unless it may fall back to another destination (`net/netfilter/ipvs/ip_vs_sh.c`
    /// and `ip_vs_mh.c`). Without the port, Maglev would always give a client the same endpoint;
    /// kube-proxy counts it, too.
    private static func flags(_ scheduler: String) -> VirtualServer.Flags {
        switch scheduler {
        case "sh": [.ours, .schedulerFlag1]
        case "mh": [.ours, .schedulerFlag1, .usesPort]
        default: .ours
        }
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

    /// Whether a frontend that both plans have leads to the same virtual server.
    func hasSameServer(_ frontend: Frontend, as other: Frontend, of plan: ServicePlan) -> Bool {
        let pool = { (plan: ServicePlan, frontend: Frontend) in
            frontend.action.outerPool.map { plan.pools[$0] }
        }
        return frontend.affinityTimeout == other.affinityTimeout && scheduler == plan.scheduler
            && weights == plan.weights && pool(self, frontend) == pool(plan, other)
    }

    /// The cluster IPs, which are bound on the node so that IPVS sees their packets.
    ///
    /// External addresses are not bound, since other hosts or programs may have them; the rules
    /// steer only packets to the frontends to IPVS.
    package var virtualAddresses: Set<IPAddress> {
        Set(frontends.lazy.filter { $0.kind == .clusterIP }.map(\.key.address))
    }
}

extension IPAddress {
    /// Whether IPVS refuses the address as a destination, whatever the node's networks are.
    ///
    /// It refuses 0.0.0.0/8, 255.255.255.255, `::`, and multicast addresses
    /// (`net/netfilter/ipvs/ip_vs_ctl.c: __ip_vs_update_dest`).
    fileprivate var isNeverDestination: Bool {
        switch family {
        case .ipv4: low >> 24 == 0 || low >> 28 == 0xE || low == 0xFFFF_FFFF
        case .ipv6: high >> 56 == 0xFF || high == 0 && low == 0
        }
    }
}

/// The dummy device on which cluster IPs are bound; kube-proxy uses the same name.
package enum VirtualDevice {
    package static let name = "kube-ipvs0"
}
