internal import ClusterStore
internal import Glibc
internal import KubernetesClient
internal import Logging
internal import NFTables
internal import NFTablesKernel
internal import Netlink
internal import NetworkTypes
internal import ServiceLifecycle
internal import ServicePlan

/// What kube-proxy has left beside virtual servers, which `IPVSDataplane` takes over.
enum KubeProxyLeftovers {
    /// Removes it, by name; returns what there was.
    static func remove(
        _ nftables: NFTablesDataplane,
        dryRun: Bool
    ) async throws(CommitError) -> [String] {
        var found = try await nftables.removeKubeProxy(dryRun: dryRun)
        do throws(NetlinkError) {
            var legacy = try removeChains(dryRun: true)
            if !dryRun, !legacy.isEmpty {
                let lock = try await XTablesLock.taken()
                legacy = try removeChains(dryRun: false)
                withExtendedLifetime(lock) {}
            }
            found += legacy
            // Sets can go when no rule refers to them any more.
            let sets = IPSets.names().filter(\.isKubeProxySet)
            found += sets.sorted().map { "ipset \($0)" }
            if !dryRun { try IPSets.remove(sets) }
        } catch {
            throw CommitError("\(error)", recovery: .retry)
        }
        return found
    }

    /// Those of iptables-legacy.
    private static func removeChains(dryRun: Bool) throws(NetlinkError) -> [String] {
        var removed: [String] = []
        for family in IPFamily.allCases {
            for table in XTables.names(family) where KubeProxyChains.tables.contains(table) {
                removed += try XTables(family)
                    .remove(chains: KubeProxyChains.contains, from: table, dryRun: dryRun)
            }
        }
        return removed
    }
}

extension String {
    /// As `pkg/proxy/ipvs/ipset.go` names its sets.
    fileprivate var isKubeProxySet: Bool {
        guard let prefix = ["KUBE-6-", "KUBE-"].first(where: hasPrefix) else { return false }
        return [
            "LOOP-BACK", "CLUSTER-IP", "LOAD-BALANCER", "LOAD-BALANCER-LOCAL", "LOAD-BALANCER-FW",
            "LOAD-BALANCER-SOURCE-IP", "LOAD-BALANCER-SOURCE-CIDR", "EXTERNAL-IP",
            "EXTERNAL-IP-LOCAL", "NODE-PORT-TCP", "NODE-PORT-LOCAL-TCP", "NODE-PORT-UDP",
            "NODE-PORT-LOCAL-UDP", "NODE-PORT-SCTP-HASH", "NODE-PORT-LOCAL-SCTP-HASH",
            "HEALTH-CHECK-NODE-PORT", "IPVS-IPS",
        ].contains(String(dropFirst(prefix.count)))
    }
}

/// Removes kube-proxy's rules, once ours are in place and were read back.
struct Takeover: ServiceLifecycle.Service {
    let dataplane: OpenDataplane
    let store: ClusterStore
    /// Yields after each sync.
    let synced: AsyncStream<Void>
    let logger: Logger
    let tell: NodeNews

    func run() async throws {
        var told = ""
        for await _ in synced.cancelOnGracefulShutdown() {
            do throws(CommitError) {
                // Looking costs little, and most nodes have nothing.
                let found = try await KubeProxyLeftovers.remove(dataplane.nftables, dryRun: true)
                guard !found.isEmpty else { break }
                guard try await isProgrammed() else { continue }
                _ = try await KubeProxyLeftovers.remove(dataplane.nftables, dryRun: false)
                let note = "removed what kube-proxy had left: \(found.count) objects"
                logger.notice("\(note)")
                tell(NodeEvent(.normal, "TookOver", "Cleanup", note))
                break
            } catch {
                let problem = "what kube-proxy has left stays for now: \(error)"
                if problem != told { logger.error("\(problem)") }
                told = problem
            }
        }
        try? await gracefulShutdown()
    }

    /// Whether the kernel holds what it should, as read back from it.
    private func isProgrammed() async throws(CommitError) -> Bool {
        guard let facts = await store.facts else { return false }
        return try await dataplane.difference(await store.allPlans(), facts).tables
            .allSatisfy(\.changes.isEmpty)
    }
}
