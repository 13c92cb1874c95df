internal import Glibc
internal import IPVS
internal import Logging
internal import NFTablesKernel
internal import Netlink
internal import NetworkTypes
package import ServicePlan

/// What nftables takes over from IPVS.
struct Retirement {
    let drainTimeout: Double
    /// Those that the rules leave to IPVS; nil if there are none, and there will be none.
    fileprivate(set) var connections: Set<IPVSConnection>?
    /// The list is no snapshot: of a long one, a part may be missing.
    fileprivate var lastRead: Set<IPVSConnection> = []
    /// When the last of them must go.
    fileprivate var deadline: Double?
    /// Nothing of mode ipvs is left.
    fileprivate(set) var isOver = false

    init(drainTimeout: Double) { self.drainTimeout = drainTimeout }
}

extension IPVSDataplane {
    /// Hands the frontends to nftables.
    func leaveEverything(
        _ plans: [ServicePlan],
        _ node: NodeFacts
    ) async throws(CommitError) -> CommitReport {
        try failing { () throws(NetlinkError) in
            try steering.create(policy.families)
            try readConnections()
        }
        var report = try await policy.commit(.everything(plans), node: withOwn(node))
        report.add(
            try failing { () throws(NetlinkError) in
                try readConnections()
                return try serveEverything(plans)
            }
        )
        // Those that came until the rules had changed.
        report.add(try await policy.commit(.some([]), node: withOwn(node)))
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

    private static func connections() throws(NetlinkError) -> Set<IPVSConnection> {
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
    func retire() async throws(CommitError) -> Maintenance {
        let start = ContinuousClock.now
        let before = retirement?.connections
        try failing { () throws(NetlinkError) in try readConnections() }
        let current = retirement?.connections
        if let rules, current != before {
            _ = try await policy.commit(.some([]), node: withOwn(rules))
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
            if let rules { _ = try await policy.commit(.some([]), node: withOwn(rules)) }
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

    /// Removes all that is ours of IPVS: virtual servers with their connections, and the device.
    ///
    /// Returns what there was.
    ///
    /// - Parameter kubeProxy: also kube-proxy's: servers of the device's addresses, and of the
    ///   node's addresses with ports of the usual range of NodePorts
    package func removeEverything(
        dryRun: Bool,
        kubeProxy: Bool = false
    ) throws(CommitError) -> [String] {
        try failing { () throws(NetlinkError) in
            let onDevice = try device.addresses()
            var ours: [VirtualServer] = []
            for server in try ipvs.servers() {
                let address = server.key.address
                let isNodePort = (30000...32767).contains(server.key.port)
                var isTheirs = kubeProxy && onDevice.contains(address)
                if kubeProxy, isNodePort, !isTheirs { isTheirs = try device.isLocal(address) }
                if server.flags.contains(.ours) || isTheirs { ours.append(server) }
            }
            var found = ours.map { "virtual server \($0.key)" }.sorted()
            if try device.exists() { found.append("device \(VirtualDevice.name)") }
            guard !dryRun else { return found }
            try ipvs.perform(ours.map { .remove($0.key) })
            try device.remove()
            try steering.remove(IPFamily.allCases)
            return found
        }
    }
}
