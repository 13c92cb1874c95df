internal import Backend
internal import Configuration
internal import Glibc
internal import IPVS
internal import IPVSKernel
internal import Logging
internal import NFTables
internal import NFTablesKernel
internal import NetworkTypes
internal import Netlink
internal import ServicePlan

/// The choice of a backend (`--mode`), and everything outside the backends that depends on it.
enum Mode {
    /// The device of mode ipvs, whose addresses do not count as addresses of the node.
    static let device = VirtualDevice.name

    /// Opens the backend that programs this node's kernel.
    ///
    /// It is `IPVSBackend` in mode ipvs, and in mode nftables as long as mode ipvs has left
    /// something.
    static func open(
        _ configuration: KubeProxyConfiguration,
        _ logger: Logger
    ) throws(CommitError) -> any Backend {
        let isIPVS = configuration.proxyMode == .ipvs
        let takesOver = configuration.needletail.takeover
        let tables = try openTables(logger)
        guard isIPVS || IPVSBackend.hasLeftovers(takesOver: takesOver) else {
            return NFTablesBackend(tables)
        }
        return try IPVSBackend(
            policy: tables,
            configuration.ipvsSettings,
            isRetiring: !isIPVS,
            logger: logger
        )
    }

    /// Opens a backend that can remove what any mode has left.
    static func openForCleaning(
        kubeProxy: Bool,
        _ logger: Logger
    ) throws(CommitError) -> any Backend {
        let tables = try openTables(logger)
        guard IPVSBackend.hasLeftovers(takesOver: kubeProxy) else { return NFTablesBackend(tables) }
        return try IPVSBackend(policy: tables, IPVSSettings(), isRetiring: true, logger: logger)
    }

    /// Tries whether the kernel has what the mode needs, without changing anything; returns the IP families
    /// for which it has.
    static func rehearse(
        _ configuration: KubeProxyConfiguration
    ) throws(CommitError) -> [IPFamily] {
        let isIPVS = configuration.proxyMode == .ipvs
        let tables = try openTables(DaemonLog.ofCommand)
        try tables.rehearse(NodeFacts(), role: isIPVS ? .policy : .balancer)
        if isIPVS {
            loadIPVS()
            guard access("/proc/net/ip_vs", F_OK) == 0 else {
                throw CommitError("the kernel has no IPVS (module ip_vs)", recovery: .retry)
            }
        }
        return tables.families
    }

    private static func openTables(_ logger: Logger) throws(CommitError) -> TableProgrammer {
        // The file exists if and only if the kernel has IPv6.
        let families: [IPFamily] =
            access("/proc/net/if_inet6", F_OK) == 0 ? [.ipv4, .ipv6] : [.ipv4]
        return try TableProgrammer(families: families, logger: logger)
    }

    /// Loads modules and sets sysctls that the mode needs and only an init container may be allowed
    /// to; the backend tries the same itself.
    static func prepare(_ configuration: KubeProxyConfiguration, _ logger: Logger) {
        guard configuration.proxyMode == .ipvs else { return }
        loadIPVS()
        KernelSettings.ipvs(strictARP: configuration.ipvs.strictARP).apply(logger)
    }

    /// Returns the nft script that programs the tables of both IP families.
    static func nftText(_ snapshot: Snapshot, _ configuration: KubeProxyConfiguration) -> String {
        let role: TableRole = configuration.proxyMode == .ipvs ? .policy : .balancer
        let tables = IPFamily.allCases.map { family in
            let (state, changes) = TableState.adopting(
                .unusable,
                snapshot.plans,
                TableInputs(snapshot.facts, role: role),
                family
            )
            return RulesetPrinter(family, isPortable: true)
                .table(state.program, elements: changes.added)
        }
        return """
            # For nft 1.1. nft 1.0.6 loads it too, but aborts if an IPv6 Service has ClientIP affinity.
            # Rules that look up "ct original proto-dst" begin with "meta l4proto { tcp, udp, sctp }" for nft;
            # needletail run programs them without it.

            """ + tables.joined(separator: "\n")
    }

    /// Returns the virtual servers of mode ipvs, as `ipvsadm -S` writes them.
    static func ipvsLines(
        _ snapshot: Snapshot,
        _ configuration: KubeProxyConfiguration
    ) -> [String] {
        let defaults = configuration.ipvsSettings.defaults
        return IPVSText.lines(snapshot.plans.flatMap { $0.virtualServers(defaults) })
    }
}

extension KubeProxyConfiguration {
    fileprivate var ipvsSettings: IPVSSettings {
        var settings = IPVSSettings()
        settings.defaults = BalancingDefaults(
            scheduler: ipvs.scheduler.isEmpty ? "rr" : ipvs.scheduler
        )
        settings.excludedCIDRs = ipvs.excludeCIDRs.compactMap { IPPrefix($0) }
        settings.strictARP = ipvs.strictARP
        settings.takesOver = needletail.takeover
        settings.tcpTimeout = UInt32(ipvs.tcpTimeout.seconds)
        settings.tcpFINTimeout = UInt32(ipvs.tcpFinTimeout.seconds)
        settings.udpTimeout = UInt32(ipvs.udpTimeout.seconds)
        settings.drainTimeout = needletail.ipvsDrainTimeout.seconds
        settings.syncPeriod = .seconds(ipvs.syncPeriod.seconds)
        return settings
    }
}
