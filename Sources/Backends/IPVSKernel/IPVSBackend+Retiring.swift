package import Backend
internal import Glibc
internal import IPVS
internal import Logging
internal import NFTables
internal import NFTablesKernel
internal import Netlink
internal import NetworkTypes
internal import ServicePlan

/// The state of a switch from IPVS to nftables.
struct Retirement {
    let drainTimeout: Double
    /// The connections that the rules leave to IPVS; nil if there will never be any.
    fileprivate(set) var connections: Set<InheritedConnection>?
    /// The connections of the last reading, which are kept in `connections` once more: the kernel's
    /// list is not a snapshot, and a part of a long list may be missing.
    fileprivate var lastRead: Set<InheritedConnection> = []
    /// When the last connection must be given up, in seconds of `IPVSBackend.now`.
    fileprivate var deadline: Double?
    /// Whether nothing of mode ipvs is left.
    fileprivate(set) var isOver = false

    init(drainTimeout: Double) { self.drainTimeout = drainTimeout }
}

extension IPVSBackend {
    /// Hands all frontends over to nftables.
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
        // The rules learn of connections that arrived before the rules had changed.
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

    /// Removes the servers that have no connections in IPVS any more; after the last server,
    /// everything else of mode ipvs.
    func retire() throws(CommitError) -> Maintenance {
        let start = ContinuousClock.now
        let before = retirement?.connections
        try failing { () throws(NetlinkError) in try readConnections() }
        let current = retirement?.connections
        if let rules, current != before {
            _ = try policy.commit([], inputs(rules.facts))
        }
        // A server may have got a new connection from a client port while the rules led that port
        // to it.
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
        guard table?.isEmpty == true else {
            // Reading a very long list of connections must take at most a twentieth of the time.
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

    /// Removes the tables, the virtual servers with their connections, and the device.
    ///
    /// - Parameters:
    /// - kubeProxy: whether to remove kube-proxy's virtual servers too: those at addresses of the
    /// device, and those at addresses of the node with a port from 30000 to 32767
    /// - dryRun: whether to remove nothing and only return what there is
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
