package import Backend
internal import Netlink
internal import NetworkTypes

/// What kube-proxy has left in this kernel beside virtual servers, which the backend of mode ipvs takes
/// over as its own.
package enum KubeProxyLeftovers {
    /// Removes it, by name; returns what there was.
    package static func remove(dryRun: Bool) async throws(CommitError) -> [Difference] {
        do throws(NetlinkError) {
            var found = try removeRules(dryRun: dryRun)
            var legacy = try removeChains(dryRun: true)
            if !dryRun, !legacy.isEmpty {
                let lock = try await XTablesLock.taken()
                legacy = try removeChains(dryRun: false)
                withExtendedLifetime(lock) {}
            }
            found += legacy.map { Difference(.remove, $0, of: .everyone) }
            // Sets can go when no rule refers to them any more.
            let sets = IPSets.names().filter(\.isKubeProxySet)
            found += sets.sorted().map { Difference(.remove, "ipset \($0)", of: .everyone) }
            if !dryRun { try IPSets.remove(sets) }
            return found
        } catch {
            throw CommitError("\(error)", recovery: .retry)
        }
    }

    private static func removeRules(dryRun: Bool) throws(NetlinkError) -> [Difference] {
        var socket = try NetlinkSocket(.netfilter)
        let rules = try KubeProxyRules(&socket)
        if !dryRun, !rules.isEmpty { try rules.remove(&socket) }
        return rules.differences
    }

    /// Removes the chains of iptables-legacy.
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
