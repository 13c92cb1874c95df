internal import Configuration
internal import Glibc
internal import Logging
internal import Netlink

/// The work that needs more than the capability NET_ADMIN, and that an init container may do
/// (`--init-only`).
struct NodePreparation {
    let configuration: KubeProxyConfiguration

    /// Sets sysctls and the score for the OOM killer; problems are only logged.
    ///
    /// - Parameter isForLater: whether the daemon will run later, without these privileges
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
        // An init container cannot set this for the daemon, so a refusal is not worth a log line.
        var quiet = logger
        quiet.logLevel = .critical
        KernelSettings([setting]).apply(quiet)
    }

    /// The settings of connection tracking, as in kube-proxy's `conntrack.go`, with its upper limit
    /// since 1.36.
    private var conntrack: [KernelSettings.Setting] {
        let wanted = configuration.conntrack
        var settings: [KernelSettings.Setting] = []
        let cores = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        let limit = 1_048_576
        // The limit per core comes first, so that multiplying by the number of cores cannot
        // overflow.
        let perCore = min(max(wanted.maxPerCore, 0), limit)
        let maximum = min(max(perCore * cores, wanted.min), limit)
        let root = "net/netfilter/nf_conntrack"
        // A larger value that somebody has set stays.
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
