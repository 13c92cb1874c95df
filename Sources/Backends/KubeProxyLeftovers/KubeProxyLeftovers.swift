package import Backend
internal import Netlink
internal import NetworkTypes

/// The objects that kube-proxy has left in this kernel, except virtual servers, which the backend
/// of mode ipvs handles.
package enum KubeProxyLeftovers {
    /// Removes the objects, which are recognized by their names, and returns what there was.
    ///
    /// - Parameter dryRun: whether to remove nothing and only return what there is
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
            // A set can be removed only when no rule refers to it any more.
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
