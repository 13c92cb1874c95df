internal import ArgumentParser
internal import Configuration

/// What only the daemon needs to know.
struct DaemonOptions: ParsableArguments {
    @Option(help: "Where health is served; empty: nowhere.")
    var healthzBindAddress: String?

    @Option(help: "Where metrics are served; empty: nowhere.")
    var metricsBindAddress: String?

    @Option(help: "The port of health (deprecated); 0: none.")
    var healthzPort: Int?

    @Option(help: "The port of metrics (deprecated); 0: none.")
    var metricsPort: Int?

    @Flag(inversion: .prefixedNo, help: "Exit if an address cannot be listened on.")
    var bindAddressHardFail: Bool?

    @Flag(inversion: .prefixedNo, help: "Let PUT /debug/flags/v change the verbosity.")
    var profiling: Bool?

    @Option(help: "Accepted; no metric is hidden.")
    var showHiddenMetricsForVersion: String?

    @Option(help: "The own OOM score.")
    var oomScoreAdj: Int?

    @Option(help: "Tracked connections per CPU; 0 leaves nf_conntrack_max alone.")
    var conntrackMaxPerCore: Int?

    @Option(help: "Tracked connections at least.")
    var conntrackMin: Int?

    @Option(
        name: .customLong("conntrack-tcp-timeout-established"),
        help: "After how long idle TCP connections are forgotten; 0s leaves it alone."
    )
    var conntrackEstablished: TimeSpan?

    @Option(
        name: .customLong("conntrack-tcp-timeout-close-wait"),
        help: "The same in CLOSE_WAIT."
    )
    var conntrackCloseWait: TimeSpan?

    @Flag(
        name: .customLong("conntrack-tcp-be-liberal"),
        inversion: .prefixedNo,
        help: "Take packets outside the TCP window for valid."
    )
    var conntrackLiberal: Bool?

    @Option(name: .customLong("conntrack-udp-timeout"), help: "The same of UDP, unanswered.")
    var conntrackUDP: TimeSpan?

    @Option(name: .customLong("conntrack-udp-timeout-stream"), help: "The same, answered.")
    var conntrackUDPStream: TimeSpan?

    @Flag(
        inversion: .prefixedNo,
        help: "Remove what kube-proxy has left, once ours is in place and read back."
    )
    var takeover: Bool?

    @Option(name: [.customShort("v"), .customLong("v")], help: "Log verbosity: 0, or 2 and more.")
    var verbosity: Int?

    @Option(help: "text, or json.")
    var loggingFormat: String?

    // What kube-proxy has, and nothing here needs.

    @Option(help: "Sets the time after which an unserved update is unhealthy, to twice of it.")
    var iptablesSyncPeriod: TimeSpan?

    @Option(help: "Accepted; a change is programmed when it comes.")
    var iptablesMinSyncPeriod: TimeSpan?

    @Option(help: "Accepted; masquerading needs no mark.")
    var iptablesMasqueradeBit: Int?

    @Flag(
        name: .customLong("iptables-localhost-nodeports"),
        inversion: .prefixedNo,
        help: "Mode iptables: NodePorts answer on 127.0.0.1 if it is among their addresses."
    )
    var iptablesLocalhostNodePorts: Bool?

    @Option(help: "Accepted; watches need no polling beside them.")
    var configSyncPeriod: TimeSpan?

    @Option(help: "Accepted; each line is written when it comes.")
    var logFlushFrequency: TimeSpan?

    @Option(help: "Accepted; verbosity is the same for all modules.")
    var vmodule: String?

    @Flag(name: .customLong("log-text-split-stream"), inversion: .prefixedNo, help: .hidden)
    var textSplitStream: Bool?

    @Flag(name: .customLong("log-json-split-stream"), inversion: .prefixedNo, help: .hidden)
    var jsonSplitStream: Bool?

    @Option(name: .customLong("log-text-info-buffer-size"), help: .hidden)
    var textInfoBufferSize: String?

    @Option(name: .customLong("log-json-info-buffer-size"), help: .hidden)
    var jsonInfoBufferSize: String?

    @Option(help: .hidden)
    var bootIDFile: String?

    @Option(help: .hidden)
    var machineIDFile: String?

    var flags: [FlagValue] {
        [
            .set("healthz-bind-address", healthzBindAddress.map(orNone), \.healthzBindAddress),
            .set("metrics-bind-address", metricsBindAddress.map(orNone), \.metricsBindAddress),
            .set("healthz-port", healthzPort.map { port("0.0.0.0", $0) }, \.healthzBindAddress),
            .set("metrics-port", metricsPort.map { port("127.0.0.1", $0) }, \.metricsBindAddress),
            .set("bind-address-hard-fail", bindAddressHardFail, \.bindAddressHardFail),
            .set("profiling", profiling, \.enableProfiling),
            .set(
                "show-hidden-metrics-for-version",
                showHiddenMetricsForVersion,
                \.showHiddenMetricsForVersion
            ),
            .set("oom-score-adj", oomScoreAdj, \.oomScoreAdj),
            .set("conntrack-max-per-core", conntrackMaxPerCore, \.conntrack.maxPerCore),
            .set("conntrack-min", conntrackMin, \.conntrack.min),
            .set(
                "conntrack-tcp-timeout-established",
                conntrackEstablished,
                \.conntrack.tcpEstablishedTimeout
            ),
            .set(
                "conntrack-tcp-timeout-close-wait",
                conntrackCloseWait,
                \.conntrack.tcpCloseWaitTimeout
            ),
            .set("conntrack-tcp-be-liberal", conntrackLiberal, \.conntrack.tcpBeLiberal),
            .set("conntrack-udp-timeout", conntrackUDP, \.conntrack.udpTimeout),
            .set("conntrack-udp-timeout-stream", conntrackUDPStream, \.conntrack.udpStreamTimeout),
            .set("takeover", takeover, isAlways: true, \.needletail.takeover),
            .set("v", verbosity, isAlways: true, \.logging.verbosity),
            .set("logging-format", loggingFormat, isAlways: true, \.logging.format),
        ].compactMap(\.self) + idleFlags
    }

    private var idleFlags: [FlagValue] {
        [
            .set(
                "iptables-sync-period",
                iptablesSyncPeriod,
                \.nftables.syncPeriod,
                \.iptables.syncPeriod
            ),
            .set(
                "iptables-min-sync-period",
                iptablesMinSyncPeriod,
                \.nftables.minSyncPeriod,
                \.iptables.minSyncPeriod
            ),
            .set(
                "iptables-masquerade-bit",
                iptablesMasqueradeBit,
                \.nftables.masqueradeBit,
                \.iptables.masqueradeBit
            ),
            .set(
                "iptables-localhost-nodeports",
                iptablesLocalhostNodePorts,
                \.iptables.localhostNodePorts
            ),
            .set("config-sync-period", configSyncPeriod, \.configSyncPeriod),
            .set(
                "log-flush-frequency",
                logFlushFrequency,
                isAlways: true,
                \.logging.flushFrequency
            ),
            .list("vmodule", vmodule, isAlways: true, \.logging.vmodule),
            .set("log-text-split-stream", textSplitStream, \.logging.textSplitStream),
            .set("log-json-split-stream", jsonSplitStream, \.logging.jsonSplitStream),
            .set("log-text-info-buffer-size", textInfoBufferSize, \.logging.textInfoBufferSize),
            .set("log-json-info-buffer-size", jsonInfoBufferSize, \.logging.jsonInfoBufferSize),
        ].compactMap(\.self)
    }

    private func orNone(_ text: String) -> String {
        text.isEmpty ? KubeProxyConfiguration.noAddress : text
    }

    private func port(_ host: String, _ port: Int) -> String {
        port == 0 ? KubeProxyConfiguration.noAddress : "\(host):\(port)"
    }
}
