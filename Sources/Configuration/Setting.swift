internal import Yams

/// One field of the file, and the flag that means the same.
package struct Setting: Sendable {
    package enum Effect: Sendable, Hashable {
        case applies
        /// It is accepted, and does nothing, for this reason.
        case nothing(String)
    }

    /// Like `conntrack.maxPerCore`.
    package let path: String
    /// Without the hyphens.
    package let flag: String?
    package let effect: Effect
    /// Whether a change of the file applies without a restart.
    package let isLive: Bool
    package let expectation: String
    /// The default, as YAML.
    package let defaultText: String

    let read: @Sendable (inout KubeProxyConfiguration, Yams.Node) -> Bool
    let copy: @Sendable (KubeProxyConfiguration, inout KubeProxyConfiguration) -> Void
    let text: @Sendable (KubeProxyConfiguration) -> String
    let jsonText: @Sendable (KubeProxyConfiguration) -> String

    /// - Parameter isZeroDefault: an empty value means the default, as Go's defaulting of a value
    ///   that is no pointer
    init<Value: SettingValue>(
        _ path: String,
        _ field: any WritableKeyPath<KubeProxyConfiguration, Value> & Sendable,
        flag: String? = nil,
        isZeroDefault: Bool = false,
        isLive: Bool = false,
        _ effect: Effect = .applies
    ) {
        (self.path, self.flag, self.effect, self.isLive) = (path, flag, effect, isLive)
        expectation = Value.expectation
        defaultText = KubeProxyConfiguration()[keyPath: field].yaml
        text = { $0[keyPath: field].yaml }
        jsonText = { $0[keyPath: field].json }
        copy = { $1[keyPath: field] = $0[keyPath: field] }
        read = { configuration, node in
            guard let value = Value(yaml: node) else { return false }
            if isZeroDefault, value.isZero { return true }
            configuration[keyPath: field] = value
            return true
        }
    }

    /// Whether two configurations differ here.
    package func differs(_ left: KubeProxyConfiguration, _ right: KubeProxyConfiguration) -> Bool {
        text(left) != text(right)
    }
}

extension Setting {
    private static let immediate = Effect.nothing(
        "a change is programmed when it comes, and costs what it changes"
    )
    private static let noIPTables = Effect.nothing("there is no iptables here")
    private static let noWindows = Effect.nothing("this is not Windows")
    private static let noMark = Effect.nothing("masquerading needs no mark here")
    private static let noKlog = Effect.nothing("each log line is written when it comes")

    /// Every field of `KubeProxyConfiguration` v1alpha1, and the section `needletail`.
    package static let all: [Setting] = [
        Setting(
            "featureGates",
            \.featureGates,
            flag: "feature-gates",
            isLive: true
        ),
        Setting(
            "clientConnection.kubeconfig",
            \.clientConnection.kubeconfig,
            flag: "kubeconfig"
        ),
        Setting(
            "clientConnection.acceptContentTypes",
            \.clientConnection.acceptContentTypes,
            .nothing("contentType says it")
        ),
        Setting(
            "clientConnection.contentType",
            \.clientConnection.contentType,
            flag: "kube-api-content-type",
            isZeroDefault: true
        ),
        Setting(
            "clientConnection.qps",
            \.clientConnection.qps,
            flag: "kube-api-qps",
            isZeroDefault: true,
            .nothing("four watches and a few events need no limit; retries are paced")
        ),
        Setting(
            "clientConnection.burst",
            \.clientConnection.burst,
            flag: "kube-api-burst",
            isZeroDefault: true,
            .nothing("four watches and a few events need no limit; retries are paced")
        ),
        Setting("logging.format", \.logging.format, flag: "logging-format", isZeroDefault: true),
        Setting(
            "logging.flushFrequency",
            \.logging.flushFrequency,
            flag: "log-flush-frequency",
            isZeroDefault: true,
            noKlog
        ),
        Setting("logging.verbosity", \.logging.verbosity, flag: "v", isLive: true),
        Setting(
            "logging.vmodule",
            \.logging.vmodule,
            flag: "vmodule",
            .nothing("verbosity is the same for all modules")
        ),
        Setting(
            "logging.options.text.splitStream",
            \.logging.textSplitStream,
            flag: "log-text-split-stream",
            noKlog
        ),
        Setting(
            "logging.options.text.infoBufferSize",
            \.logging.textInfoBufferSize,
            flag: "log-text-info-buffer-size",
            noKlog
        ),
        Setting(
            "logging.options.json.splitStream",
            \.logging.jsonSplitStream,
            flag: "log-json-split-stream",
            noKlog
        ),
        Setting(
            "logging.options.json.infoBufferSize",
            \.logging.jsonInfoBufferSize,
            flag: "log-json-info-buffer-size",
            noKlog
        ),
        Setting("hostnameOverride", \.hostnameOverride, flag: "hostname-override"),
        Setting("bindAddress", \.bindAddress, flag: "bind-address", isZeroDefault: true),
        Setting(
            "healthzBindAddress",
            \.healthzBindAddress,
            flag: "healthz-bind-address",
            isZeroDefault: true
        ),
        Setting(
            "metricsBindAddress",
            \.metricsBindAddress,
            flag: "metrics-bind-address",
            isZeroDefault: true
        ),
        Setting("bindAddressHardFail", \.bindAddressHardFail, flag: "bind-address-hard-fail"),
        Setting("enableProfiling", \.enableProfiling, flag: "profiling"),
        Setting(
            "showHiddenMetricsForVersion",
            \.showHiddenMetricsForVersion,
            flag: "show-hidden-metrics-for-version",
            .nothing("no metric is hidden")
        ),
        Setting("mode", \.mode, flag: "proxy-mode"),
        Setting("iptables.masqueradeBit", \.iptables.masqueradeBit, noMark),
        Setting(
            "iptables.masqueradeAll",
            \.iptables.masqueradeAll,
            flag: "masquerade-all",
            isLive: true
        ),
        Setting(
            "iptables.localhostNodePorts",
            \.iptables.localhostNodePorts,
            flag: "iptables-localhost-nodeports",
            isLive: true
        ),
        Setting("iptables.syncPeriod", \.iptables.syncPeriod, isZeroDefault: true),
        Setting(
            "iptables.minSyncPeriod",
            \.iptables.minSyncPeriod,
            isZeroDefault: true,
            noIPTables
        ),
        Setting(
            "ipvs.syncPeriod",
            \.ipvs.syncPeriod,
            flag: "ipvs-sync-period",
            isZeroDefault: true
        ),
        Setting(
            "ipvs.minSyncPeriod",
            \.ipvs.minSyncPeriod,
            flag: "ipvs-min-sync-period",
            immediate
        ),
        Setting("ipvs.scheduler", \.ipvs.scheduler, flag: "ipvs-scheduler"),
        Setting("ipvs.excludeCIDRs", \.ipvs.excludeCIDRs, flag: "ipvs-exclude-cidrs"),
        Setting("ipvs.strictARP", \.ipvs.strictARP, flag: "ipvs-strict-arp"),
        Setting("ipvs.tcpTimeout", \.ipvs.tcpTimeout, flag: "ipvs-tcp-timeout"),
        Setting("ipvs.tcpFinTimeout", \.ipvs.tcpFinTimeout, flag: "ipvs-tcpfin-timeout"),
        Setting("ipvs.udpTimeout", \.ipvs.udpTimeout, flag: "ipvs-udp-timeout"),
        Setting(
            "nftables.masqueradeBit",
            \.nftables.masqueradeBit,
            flag: "iptables-masquerade-bit",
            noMark
        ),
        Setting("nftables.masqueradeAll", \.nftables.masqueradeAll, isLive: true),
        Setting(
            "nftables.syncPeriod",
            \.nftables.syncPeriod,
            flag: "iptables-sync-period",
            isZeroDefault: true
        ),
        Setting(
            "nftables.minSyncPeriod",
            \.nftables.minSyncPeriod,
            flag: "iptables-min-sync-period",
            isZeroDefault: true,
            immediate
        ),
        Setting("winkernel.networkName", \.winkernel.networkName, noWindows),
        Setting("winkernel.sourceVip", \.winkernel.sourceVip, noWindows),
        Setting("winkernel.rootHnsEndpointName", \.winkernel.rootHnsEndpointName, noWindows),
        Setting("winkernel.enableDSR", \.winkernel.enableDSR, noWindows),
        Setting("winkernel.forwardHealthCheckVip", \.winkernel.forwardHealthCheckVip, noWindows),
        Setting("detectLocalMode", \.detectLocalMode, flag: "detect-local-mode", isLive: true),
        Setting(
            "detectLocal.bridgeInterface",
            \.detectLocal.bridgeInterface,
            flag: "pod-bridge-interface",
            isLive: true
        ),
        Setting(
            "detectLocal.interfaceNamePrefix",
            \.detectLocal.interfaceNamePrefix,
            flag: "pod-interface-name-prefix",
            isLive: true
        ),
        Setting("clusterCIDR", \.clusterCIDR, flag: "cluster-cidr", isLive: true),
        Setting(
            "nodePortAddresses",
            \.nodePortAddresses,
            flag: "nodeport-addresses",
            isLive: true
        ),
        Setting("oomScoreAdj", \.oomScoreAdj, flag: "oom-score-adj"),
        Setting("conntrack.maxPerCore", \.conntrack.maxPerCore, flag: "conntrack-max-per-core"),
        Setting("conntrack.min", \.conntrack.min, flag: "conntrack-min"),
        Setting(
            "conntrack.tcpEstablishedTimeout",
            \.conntrack.tcpEstablishedTimeout,
            flag: "conntrack-tcp-timeout-established"
        ),
        Setting(
            "conntrack.tcpCloseWaitTimeout",
            \.conntrack.tcpCloseWaitTimeout,
            flag: "conntrack-tcp-timeout-close-wait"
        ),
        Setting(
            "conntrack.tcpBeLiberal",
            \.conntrack.tcpBeLiberal,
            flag: "conntrack-tcp-be-liberal"
        ),
        Setting("conntrack.udpTimeout", \.conntrack.udpTimeout, flag: "conntrack-udp-timeout"),
        Setting(
            "conntrack.udpStreamTimeout",
            \.conntrack.udpStreamTimeout,
            flag: "conntrack-udp-timeout-stream"
        ),
        Setting(
            "configSyncPeriod",
            \.configSyncPeriod,
            flag: "config-sync-period",
            isZeroDefault: true,
            .nothing("watches need no polling beside them")
        ),
        Setting("portRange", \.portRange, .nothing("kube-proxy does not use it either")),
        Setting("windowsRunAsService", \.windowsRunAsService, noWindows),
        Setting("needletail.nodeIPs", \.needletail.nodeIPs, flag: "node-ip", isLive: true),
        Setting(
            "needletail.ipvsDrainTimeout",
            \.needletail.ipvsDrainTimeout,
            flag: "ipvs-drain-timeout"
        ),
        Setting(
            "needletail.endpointsSource",
            \.needletail.endpointsSource,
            flag: "endpoints-source"
        ),
        Setting("needletail.takeover", \.needletail.takeover, flag: "takeover"),
        Setting(
            "needletail.serviceMetrics",
            \.needletail.serviceMetrics,
            flag: "service-metrics"
        ),
    ]
}
