internal import ArgumentParser
internal import IPVS
internal import IPVSKernel
internal import KubernetesModel
internal import NetworkTypes

/// What is said of mode ipvs, under kube-proxy's names where it has the flag.
struct IPVSOptions: ParsableArguments {
    @Option(help: "The scheduler of Services that name none: rr, wrr, lc, wlc, sh, mh, …")
    var ipvsScheduler = "rr"

    @Option(
        name: .customLong("ipvs-exclude-cidrs"),
        help: "CIDR blocks whose virtual servers are never removed."
    )
    var ipvsExcludeCIDRs: PrefixList = .init()

    @Flag(
        name: .customLong("ipvs-strict-arp"),
        help: "Answer ARP for an address on its own interface only (arp_ignore, arp_announce)."
    )
    var ipvsStrictARP = false

    @Option(
        name: .customLong("ipvs-tcp-timeout"),
        help: "After how long idle TCP connections are forgotten, as in 15m; 0s: the kernel's."
    )
    var ipvsTCPTimeout: TimeSpan = .init()

    @Option(
        name: .customLong("ipvs-tcpfin-timeout"),
        help: "The same after a FIN."
    )
    var ipvsTCPFINTimeout: TimeSpan = .init()

    @Option(
        name: .customLong("ipvs-udp-timeout"),
        help: "The same of UDP."
    )
    var ipvsUDPTimeout: TimeSpan = .init()

    @Option(help: "How often IPVS is read back and compared.")
    var ipvsSyncPeriod = TimeSpan(seconds: 30)

    @Option(help: "Accepted for kube-proxy's sake: a change is programmed when it comes.")
    var ipvsMinSyncPeriod: TimeSpan = .init()

    @Option(help: "For how long removed endpoints keep their connections; 0s: they do not.")
    var ipvsDrainTimeout = TimeSpan(seconds: 900)

    func validate() throws {
        guard Balancing.schedulers.contains(ipvsScheduler) || ipvsScheduler.isEmpty else {
            throw ValidationError(
                "--ipvs-scheduler: \"\(ipvsScheduler)\" is none of IPVS's schedulers"
                    + " (\(Balancing.schedulers.sorted().joined(separator: ", ")))"
            )
        }
        guard ipvsSyncPeriod.seconds > 0 else {
            throw ValidationError("--ipvs-sync-period must be more than 0s")
        }
    }

    var settings: IPVSSettings {
        var settings = IPVSSettings()
        settings.defaults = BalancingDefaults(
            scheduler: ipvsScheduler.isEmpty ? "rr" : ipvsScheduler
        )
        settings.excludedCIDRs = ipvsExcludeCIDRs.prefixes
        settings.strictARP = ipvsStrictARP
        settings.tcpTimeout = UInt32(ipvsTCPTimeout.seconds)
        settings.tcpFINTimeout = UInt32(ipvsTCPFINTimeout.seconds)
        settings.udpTimeout = UInt32(ipvsUDPTimeout.seconds)
        settings.drainTimeout = ipvsDrainTimeout.seconds
        settings.syncPeriod = .seconds(ipvsSyncPeriod.seconds)
        return settings
    }
}

/// A duration as Go writes it: `1h30m`, `15m0s`, `500ms`, `0`.
struct TimeSpan: ExpressibleByArgument, CustomStringConvertible {
    let seconds: Double

    init(seconds: Double = 0) { self.seconds = seconds }

    init?(argument: String) {
        var (total, rest) = (0.0, argument[...])
        if rest == "0" { rest = "0s" }
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let number = rest.prefix { $0.isNumber || $0 == "." }
            rest = rest.dropFirst(number.count)
            let unit = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let value = Double(number), let scale = Self.units[String(unit)] else {
                return nil
            }
            total += value * scale
        }
        guard total <= Self.longest else { return nil }
        seconds = total
    }

    private static let units = ["h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001]
    /// The kernel counts in jiffies, in 31 bits.
    private static let longest = 2_000_000.0

    var description: String {
        seconds == seconds.rounded() ? "\(Int(seconds))s" : "\(seconds)s"
    }
}
