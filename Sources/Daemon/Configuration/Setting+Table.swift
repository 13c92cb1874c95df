extension Setting {
    /// Every field of `KubeProxyConfiguration` v1alpha1, and the section `needletail`.
    package static let all: [Setting] = daemon + networking + needletail

    static let immediate = Effect.nothing(
        "a change is programmed at once, and costs no more than it changes"
    )
    static let noIPTables = Effect.nothing("there is no iptables here")
    static let noWindows = Effect.nothing("this is not Windows")
    static let noMark = Effect.nothing("masquerading needs no mark here")
    private static let noKlog = Effect.nothing("each log line is written at once")
    private static let noLimit = Effect.nothing(
        "four watches and a few events need no limit; retries are paced"
    )

    private static let daemon: [Setting] = [
        Setting(
            "featureGates",
            \.featureGates,
            flag: "feature-gates",
            """
            Feature gates, as NAME=false: AllowServiceExternalIPs leaves out external IPs, \
            KubeProxyNFTablesLocalhostNodePorts the forwarder of NodePorts on localhost; others \
            have no effect.
            """,
            isLive: true
        ),
        Setting(
            "clientConnection.kubeconfig",
            \.clientConnection.kubeconfig,
            flag: "kubeconfig",
            """
            Kubeconfig files, separated by colons; default: $KUBECONFIG, the credentials of the \
            pod, ~/.kube/config.
            """
        ),
        Setting(
            "clientConnection.acceptContentTypes",
            \.clientConnection.acceptContentTypes,
            effect: .nothing("contentType decides this")
        ),
        Setting(
            "clientConnection.contentType",
            \.clientConnection.contentType,
            flag: "kube-api-content-type",
            """
            What to ask the API server for: application/vnd.kubernetes.protobuf or \
            application/json.
            """,
            isZeroDefault: true
        ),
        Setting(
            "clientConnection.qps",
            \.clientConnection.qps,
            flag: "kube-api-qps",
            isZeroDefault: true,
            effect: noLimit
        ),
        Setting(
            "clientConnection.burst",
            \.clientConnection.burst,
            flag: "kube-api-burst",
            isZeroDefault: true,
            effect: noLimit
        ),
        Setting(
            "logging.format",
            \.logging.format,
            flag: "logging-format",
            "The format of log lines: text or json.",
            isZeroDefault: true
        ),
        Setting(
            "logging.flushFrequency",
            \.logging.flushFrequency,
            flag: "log-flush-frequency",
            isZeroDefault: true,
            effect: noKlog,
            fromFile: TimeSpan.readWithNanoseconds
        ),
        Setting(
            "logging.verbosity",
            \.logging.verbosity,
            flag: "v",
            "How much is logged; 2 or more adds debugging messages.",
            isLive: true
        ),
        Setting(
            "logging.vmodule",
            \.logging.vmodule,
            flag: "vmodule",
            effect: .nothing("verbosity is the same for all modules"),
            fromFile: [String].readModules
        ),
        Setting(
            "logging.options.text.splitStream",
            \.logging.textSplitStream,
            flag: "log-text-split-stream",
            effect: noKlog
        ),
        Setting(
            "logging.options.text.infoBufferSize",
            \.logging.textInfoBufferSize,
            flag: "log-text-info-buffer-size",
            effect: noKlog
        ),
        Setting(
            "logging.options.json.splitStream",
            \.logging.jsonSplitStream,
            flag: "log-json-split-stream",
            effect: noKlog
        ),
        Setting(
            "logging.options.json.infoBufferSize",
            \.logging.jsonInfoBufferSize,
            flag: "log-json-info-buffer-size",
            effect: noKlog
        ),
        Setting(
            "hostnameOverride",
            \.hostnameOverride,
            flag: "hostname-override",
            "The name of this node; default: its host name."
        ),
        Setting(
            "bindAddress",
            \.bindAddress,
            flag: "bind-address",
            "The node's primary address, unless it is 0.0.0.0 or ::.",
            isZeroDefault: true
        ),
        Setting(
            "healthzBindAddress",
            \.healthzBindAddress,
            flag: "healthz-bind-address",
            """
            Where health is served, as ADDRESS or ADDRESS:PORT; default: port 10256 of all \
            addresses; "none", or an empty flag, turns it off.
            """,
            isZeroDefault: true,
            emptyFlag: KubeProxyConfiguration.noAddress
        ),
        Setting(
            "metricsBindAddress",
            \.metricsBindAddress,
            flag: "metrics-bind-address",
            """
            Where metrics are served, as ADDRESS or ADDRESS:PORT; default: port 10249 of the \
            loopback address; "none", or an empty flag, turns it off.
            """,
            isZeroDefault: true,
            emptyFlag: KubeProxyConfiguration.noAddress
        ),
        Setting(
            "bindAddressHardFail",
            \.bindAddressHardFail,
            flag: "bind-address-hard-fail",
            "Exit if health or metrics cannot listen on their address."
        ),
        Setting(
            "enableProfiling",
            \.enableProfiling,
            flag: "profiling",
            "Allow PUT /debug/flags/v, on the metrics server, to change the verbosity."
        ),
        Setting(
            "showHiddenMetricsForVersion",
            \.showHiddenMetricsForVersion,
            flag: "show-hidden-metrics-for-version",
            effect: .nothing("no metric is hidden")
        ),
        Setting(
            "oomScoreAdj",
            \.oomScoreAdj,
            flag: "oom-score-adj",
            """
            How readily the kernel ends this process when memory is short, from -1000 (never) to \
            1000 (first).
            """
        ),
        Setting(
            "configSyncPeriod",
            \.configSyncPeriod,
            flag: "config-sync-period",
            isZeroDefault: true,
            effect: .nothing("watches make polling unnecessary")
        ),
        Setting("portRange", \.portRange, effect: .nothing("kube-proxy does not use it either")),
        Setting("windowsRunAsService", \.windowsRunAsService, effect: noWindows),
    ]

    /// The settings that kube-proxy does not have.
    private static let needletail: [Setting] = [
        Setting(
            "needletail.nodeIPs",
            \.needletail.nodeIPs,
            flag: "node-ip",
            "The node's primary addresses, one of each family; default: those of its Node object.",
            isLive: true
        ),
        Setting(
            "needletail.ipvsDrainTimeout",
            \.needletail.ipvsDrainTimeout,
            flag: "ipvs-drain-timeout",
            "How long removed endpoints keep their connections in mode ipvs; 0s means not at all."
        ),
        Setting(
            "needletail.endpointsSource",
            \.needletail.endpointsSource,
            flag: "endpoints-source",
            "The objects that name the endpoints of Services: endpointslices, or the older endpoints."
        ),
        Setting(
            "needletail.takeover",
            \.needletail.takeover,
            flag: "takeover",
            "Remove what kube-proxy has left on this node, once needletail's rules are in place and read back."
        ),
        Setting(
            "needletail.serviceMetrics",
            \.needletail.serviceMetrics,
            flag: "service-metrics",
            "Count connections by Service, with metrics for this many Services; 0 turns it off."
        ),
        Setting(
            "needletail.namespaceWarnings",
            \.needletail.namespaceWarnings,
            flag: "namespace-warnings",
            "How many warnings about one namespace's objects are logged in a minute."
        ),
        Setting(
            "needletail.nodeAddressesAsExternalIPs",
            \.needletail.nodeAddressesAsExternalIPs,
            flag: "node-addresses-as-external-ips",
            "Allow the node's own addresses as external IPs, except on ports that the node needs.",
            isLive: true
        ),
    ]
}
