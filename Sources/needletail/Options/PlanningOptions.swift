internal import ArgumentParser
internal import Configuration

/// What decides how Services are programmed: the same for the daemon and for the commands that look.
struct PlanningOptions: ParsableArguments {
    @Option(
        help: """
            A KubeProxyConfiguration file, as kube-proxy's ConfigMap has it. kube-proxy's flags are \
            ignored then, but for --hostname-override and those of logging.
            """
    )
    var config: String?

    @Option(
        name: [.customLong("mode"), .long],
        help: "How to program the kernel: nftables, or ipvs; iptables is run as nftables."
    )
    var proxyMode: String?

    @Option(help: "The name of this node; default: its host name.")
    var hostnameOverride: String?

    @Option(help: "The node's primary addresses, one of each family; default: those of its Node.")
    var nodeIP: String?

    @Option(help: "The node's primary address, unless it is 0.0.0.0 or ::.")
    var bindAddress: String?

    @Option(help: "CIDR blocks of all pods of the cluster, to tell pods from others.")
    var clusterCIDR: String?

    @Flag(inversion: .prefixedNo, help: "Masquerade everything that is sent to cluster IPs.")
    var masqueradeAll: Bool?

    @Option(
        name: .customLong("nodeport-addresses"),
        help: """
            Where NodePorts answer: CIDR blocks of node addresses, or "primary" (the default).
            """
    )
    var nodePortAddresses: String?

    @Option(
        help: "How to tell pods: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix."
    )
    var detectLocalMode: String?

    @Option(help: "The pods' bridge, for BridgeInterface.")
    var podBridgeInterface: String?

    @Option(help: "How names of pod interfaces begin, for InterfaceNamePrefix.")
    var podInterfaceNamePrefix: String?

    @Option(
        help: "What names the endpoints of Services: endpointslices, or the older endpoints."
    )
    var endpointsSource: String?

    @Option(help: "The IPVS scheduler of Services that name none: rr, wrr, lc, wlc, sh, mh, …")
    var ipvsScheduler: String?

    @Option(
        name: .customLong("ipvs-exclude-cidrs"),
        help: "CIDR blocks whose virtual servers are never removed."
    )
    var ipvsExcludeCIDRs: String?

    @Flag(
        name: .customLong("ipvs-strict-arp"),
        inversion: .prefixedNo,
        help: "Answer ARP for an address on its own interface only (arp_ignore, arp_announce)."
    )
    var ipvsStrictARP: Bool?

    @Option(
        name: .customLong("ipvs-tcp-timeout"),
        help: "After how long idle TCP connections are forgotten, as in 15m; 0s: the kernel's."
    )
    var ipvsTCPTimeout: TimeSpan?

    @Option(name: .customLong("ipvs-tcpfin-timeout"), help: "The same after a FIN.")
    var ipvsTCPFINTimeout: TimeSpan?

    @Option(name: .customLong("ipvs-udp-timeout"), help: "The same of UDP.")
    var ipvsUDPTimeout: TimeSpan?

    @Option(help: "How often IPVS is read back and compared.")
    var ipvsSyncPeriod: TimeSpan?

    @Option(help: "Accepted; a change is programmed when it comes.")
    var ipvsMinSyncPeriod: TimeSpan?

    @Option(help: "For how long removed endpoints keep their connections; 0s: they do not.")
    var ipvsDrainTimeout: TimeSpan?

    @Option(help: "Count connections by Service, with metrics for so many Services; 0: none.")
    var serviceMetrics: Int?

    @Option(
        help: """
            Feature gates, as NAME=false: AllowServiceExternalIPs leaves out external IPs; others \
            have no effect.
            """
    )
    var featureGates: String?

    @Flag(
        name: .customLong("node-addresses-as-external-ips"),
        inversion: .prefixedNo,
        help: "Let external IPs be the node's own addresses, but for ports that it needs."
    )
    var nodeAddresses: Bool?

    var flags: [FlagValue] {
        [
            .set("proxy-mode", proxyMode, \.mode),
            .set("hostname-override", hostnameOverride, isAlways: true, \.hostnameOverride),
            .set(
                "node-addresses-as-external-ips",
                nodeAddresses,
                isAlways: true,
                \.needletail.nodeAddressesAsExternalIPs
            ),
            .list("node-ip", nodeIP, isAlways: true, \.needletail.nodeIPs),
            .set("bind-address", bindAddress, \.bindAddress),
            .set("cluster-cidr", clusterCIDR, \.clusterCIDR),
            .set(
                "masquerade-all",
                masqueradeAll,
                \.iptables.masqueradeAll,
                \.nftables.masqueradeAll
            ),
            .list("nodeport-addresses", nodePortAddresses, \.nodePortAddresses),
            .set("detect-local-mode", detectLocalMode, \.detectLocalMode),
            .set("pod-bridge-interface", podBridgeInterface, \.detectLocal.bridgeInterface),
            .set(
                "pod-interface-name-prefix",
                podInterfaceNamePrefix,
                \.detectLocal.interfaceNamePrefix
            ),
            .set(
                "endpoints-source",
                endpointsSource,
                isAlways: true,
                \.needletail.endpointsSource
            ),
            .set("ipvs-scheduler", ipvsScheduler, \.ipvs.scheduler),
            .list("ipvs-exclude-cidrs", ipvsExcludeCIDRs, \.ipvs.excludeCIDRs),
            .set("ipvs-strict-arp", ipvsStrictARP, \.ipvs.strictARP),
            .set("ipvs-tcp-timeout", ipvsTCPTimeout, \.ipvs.tcpTimeout),
            .set("ipvs-tcpfin-timeout", ipvsTCPFINTimeout, \.ipvs.tcpFinTimeout),
            .set("ipvs-udp-timeout", ipvsUDPTimeout, \.ipvs.udpTimeout),
            .set("ipvs-sync-period", ipvsSyncPeriod, \.ipvs.syncPeriod),
            .set("ipvs-min-sync-period", ipvsMinSyncPeriod, \.ipvs.minSyncPeriod),
            .set(
                "ipvs-drain-timeout",
                ipvsDrainTimeout,
                isAlways: true,
                \.needletail.ipvsDrainTimeout
            ),
            .set(
                "service-metrics",
                serviceMetrics,
                isAlways: true,
                \.needletail.serviceMetrics
            ),
            featureGates.map(Self.gates),
        ].compactMap(\.self)
    }

    private static func gates(_ text: String) -> FlagValue {
        FlagValue("feature-gates") { configuration throws(ValidationError) in
            for gate in text.commaSeparated {
                let parts = gate.split(separator: "=")
                guard parts.count == 2, let value = Bool(parts[1].lowercased()) else {
                    throw ValidationError("--feature-gates: \"\(gate)\" is not NAME=true or false")
                }
                configuration.featureGates[String(parts[0])] = value
            }
        }
    }
}
