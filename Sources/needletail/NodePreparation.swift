internal import Configuration
internal import Glibc
internal import Logging
internal import Netlink

/// What needs more than the capability NET_ADMIN, and may be done by an init container
/// (`--init-only`).
struct NodePreparation {
    let configuration: KubeProxyConfiguration

    /// - Parameter isForLater: the daemon will come without these privileges
    func apply(_ logger: Logger, isForLater: Bool) {
        setOOMScore(logger)
        KernelSettings(conntrack).apply(logger, isNeeded: false)
        if isForLater { Mode.prepare(configuration, logger) }
    }

    private func setOOMScore(_ logger: Logger) {
        let text = "\(configuration.oomScoreAdj)"
        let setting = KernelSettings.Setting(
            "/proc/self/oom_score_adj",
            text,
            "so the kernel may end this process when memory is short"
        )
        // Inherited by what an init container cannot reach: not worth a line if it is refused.
        var quiet = logger
        quiet.logLevel = .critical
        KernelSettings([setting]).apply(quiet)
    }

    /// `conntrack.go` of kube-proxy, with its limit since 1.36.
    private var conntrack: [KernelSettings.Setting] {
        let wanted = configuration.conntrack
        var settings: [KernelSettings.Setting] = []
        let cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        let limit = 1_048_576
        // As many cores as a machine may have cannot overflow what is limited first.
        let perCore = min(max(wanted.maxPerCore, 0), limit)
        let maximum = min(max(perCore * cores, wanted.min), limit)
        let root = "net/netfilter/nf_conntrack"
        // What somebody has made larger stays.
        let present = KernelSettings.read("/proc/sys/\(root)_max").flatMap { Int($0) } ?? 0
        if wanted.maxPerCore > 0, present < maximum {
            settings.append(.init("\(root)_max", "\(maximum)", "so connections may be refused"))
            let file = "/sys/module/nf_conntrack/parameters/hashsize"
            if let present = KernelSettings.read(file).flatMap({ Int($0) }), present < maximum / 4 {
                settings.append(.init(file, "\(maximum / 4)", "so looking up connections is slow"))
            }
        }
        for (name, span) in [
            ("tcp_timeout_established", wanted.tcpEstablishedTimeout),
            ("tcp_timeout_close_wait", wanted.tcpCloseWaitTimeout),
            ("udp_timeout", wanted.udpTimeout),
            ("udp_timeout_stream", wanted.udpStreamTimeout),
        ] where span.seconds > 0 {
            settings.append(.init("\(root)_\(name)", "\(Int(span.seconds))", "as configured"))
        }
        if wanted.tcpBeLiberal {
            settings.append(.init("\(root)_tcp_be_liberal", "1", "as configured"))
        }
        return settings
    }
}
