internal import Configuration
internal import Glibc
internal import IPVSKernel
internal import Logging
internal import NFTables
internal import NFTablesKernel
internal import NetworkTypes
internal import ServicePlan

func openNFTables(_ logger: Logger) throws(CommitError) -> NFTablesDataplane {
    // The file is there exactly if the kernel speaks IPv6.
    let families: [IPFamily] =
        access("/proc/net/if_inet6", F_OK) == 0 ? [.ipv4, .ipv6] : [.ipv4]
    return try NFTablesDataplane(families: families, logger: logger)
}

/// What programs this node's kernel.
struct OpenDataplane {
    /// The tables, in either mode.
    let nftables: NFTablesDataplane
    /// Whom to hand plans to.
    let active: any Dataplane

    init(_ configuration: KubeProxyConfiguration, _ logger: Logger) throws {
        let isIPVS = configuration.proxyMode == .ipvs
        do throws(CommitError) {
            nftables = try openNFTables(logger)
            let takesOver = configuration.needletail.takeover
            if isIPVS || IPVSDataplane.hasLeftovers(takesOver: takesOver) {
                active = try IPVSDataplane(
                    policy: nftables,
                    configuration.ipvsSettings,
                    isRetiring: !isIPVS,
                    logger: logger
                )
            } else {
                active = nftables
            }
        } catch {
            throw Failure("\(error)")
        }
    }

    /// What a commit of everything would change in the tables, and in IPVS; touches nothing.
    func difference(
        _ plans: [ServicePlan],
        _ node: NodeFacts
    ) async throws(CommitError) -> (
        tables: [(program: Program, changes: Changeset)], servers: ServerDifference?
    ) {
        let servers = try await (active as? IPVSDataplane)?.difference(plans)
        var node = node
        node.draining = servers?.draining ?? []
        node.ipvsConnections = servers?.leavesConnections == true ? [] : nil
        let tables = try await nftables.difference(plans, node: node)
            .map { table in
                var changes = table.changes
                // They come and go by themselves.
                (changes.added[.ipvsConnections], changes.removed[.ipvsConnections]) = (nil, nil)
                return (table.program, changes)
            }
        return (tables, servers)
    }
}
