package import Backend
internal import Glibc
internal import IPVS
internal import Logging
internal import NFTables
internal import NFTablesKernel
internal import Netlink
internal import NetworkTypes
internal import ServicePlan

/// What nftables takes over from IPVS.
struct Retirement {
    let drainTimeout: Double
    /// Those that the rules leave to IPVS; nil if there are none, and there will be none.
    fileprivate(set) var connections: Set<InheritedConnection>?
    /// The list is no snapshot: of a long one, a part may be missing.
    fileprivate var lastRead: Set<InheritedConnection> = []
    /// When the last of them must go.
    fileprivate var deadline: Double?
    /// Nothing of mode ipvs is left.
    fileprivate(set) var isOver = false

    init(drainTimeout: Double) { self.drainTimeout = drainTimeout }
}

extension IPVSBackend {
    /// Hands the frontends to nftables.
    func leaveEverything(
        _ plans: [ServicePlan],
        _ node: NodeFacts
    ) throws(CommitError) -> CommitReport {
        try failing { () throws(NetlinkError) in
            try steering.create(policy.families)
            try readConnections()
        }
        var report = try policy.adopt(plans, inputs(node))
        report.add(
            try failing { () throws(NetlinkError) in
                try readConnections()
                return try serveEverything(plans)
            }
        )
        // Those that came until the rules had changed.
        report.add(try policy.commit([], inputs(node)))
        return report
    }

    private func readConnections() throws(NetlinkError) {
        guard var retirement, retirement.drainTimeout > 0 else { return }
        let deadline = retirement.deadline ?? Self.now + retirement.drainTimeout
        retirement.deadline = deadline
        let read = deadline > Self.now ? try Self.connections() : []
        retirement.connections = read.union(retirement.lastRead)
        retirement.lastRead = read
        self.retirement = retirement
    }

    private static func connections() throws(NetlinkError) -> Set<InheritedConnection> {
        let path = "/proc/thread-self/net/ip_vs_conn"
        let failure = { NetlinkError("reading \(path)", code: errno) }
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw failure() }
        defer { close(file) }
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = read(file, &buffer, buffer.count)
            guard count >= 0 else { throw failure() }
            guard count > 0 else { return ConnectionList.connections(in: text) }
            text += buffer[..<count]
        }
    }

    /// Lets the servers go of which IPVS has no connections any more; with the last, all that is left
    /// of mode ipvs.
    func retire() throws(CommitError) -> Maintenance {
        let start = ContinuousClock.now
        let before = retirement?.connections
        try failing { () throws(NetlinkError) in try readConnections() }
        let current = retirement?.connections
        if let rules, current != before {
            _ = try policy.commit([], inputs(rules.facts))
        }
        // While the rules led a port of a client to a server, a connection may have come.
        let used = Set([before, current].compactMap(\.self).joined().map(\.frontend))
        try failing { () throws(NetlinkError) in
            let unused = table?.served.subtracting(used) ?? []
            let operations = table?.retire(unused) ?? []
            try perform(operations, of: table?.takeTouchedAddresses() ?? [])
        }
        if table?.isEmpty == true {
            retirement?.connections = nil
            if let rules { _ = try policy.commit([], inputs(rules.facts)) }
        }
        // Meanwhile a Service may have got endpoints again.
        guard table?.isEmpty == true else {
            // With very many connections, reading them all is some work.
            return .again(after: max(Self.drainInterval, (.now - start) * 20))
        }
        try failing { () throws(NetlinkError) in
            try device.remove()
            try steering.remove(IPFamily.allCases)
        }
        retirement?.isOver = true
        logger.notice("nothing of mode ipvs is left")
        return .finished
    }

    /// Removes the tables, virtual servers with their connections, and the device.
    ///
    /// - Parameter kubeProxy: also kube-proxy's servers: those of the device's addresses, and of the
    ///   node's addresses with ports of the usual range of NodePorts
    package func clean(kubeProxy: Bool, dryRun: Bool) throws(CommitError) -> [Difference] {
        let servers = try failing { () throws(NetlinkError) in
            try removeServers(kubeProxy: kubeProxy, dryRun: dryRun)
        }
        return try servers + policy.removeTables(dryRun: dryRun)
    }

    private func removeServers(
        kubeProxy: Bool,
        dryRun: Bool
    ) throws(NetlinkError) -> [Difference] {
        let onDevice = try device.addresses()
        var ours: [FrontendKey] = []
        for server in try ipvs.servers() {
            let address = server.key.address
            let isNodePort = (30000...32767).contains(server.key.port)
            var isTheirs = kubeProxy && onDevice.contains(address)
            if kubeProxy, isNodePort, !isTheirs { isTheirs = try device.isLocal(address) }
            if server.flags.contains(.ours) || isTheirs { ours.append(server.key) }
        }
        var found = ours.sorted()
            .map { Difference(.remove, "virtual server \($0)", of: .frontend($0)) }
        if try device.exists() {
            found.append(Difference(.remove, "device \(VirtualDevice.name)", of: .everyone))
        }
        guard !dryRun else { return found }
        try ipvs.perform(ours.map { .remove($0) })
        try device.remove()
        try steering.remove(IPFamily.allCases)
        return found
    }
}
