extension Setting {
    /// The settings for Services and the kernel.
    static let networking: [Setting] = [
        Setting(
            "mode",
            \.mode,
            flag: "proxy-mode",
            "How to program the kernel (also --mode): nftables or ipvs; iptables runs as nftables."
        ),
        Setting(
            "iptables.masqueradeBit",
            \.iptables.masqueradeBit,
            flag: "iptables-masquerade-bit",
            effect: noMark
        ),
        Setting(
            "iptables.masqueradeAll",
            \.iptables.masqueradeAll,
            flag: "masquerade-all",
            "Masquerade everything that is sent to cluster IPs.",
            isLive: true
        ),
        Setting(
            "iptables.localhostNodePorts",
            \.iptables.localhostNodePorts,
            flag: "iptables-localhost-nodeports",
            "Mode iptables: NodePorts answer on 127.0.0.1 if it is among their addresses.",
            isLive: true
        ),
        Setting(
            "iptables.syncPeriod",
            \.iptables.syncPeriod,
            flag: "iptables-sync-period",
            "An update that waits for twice this time makes the node unhealthy, in mode iptables.",
            isZeroDefault: true
        ),
        Setting(
            "iptables.minSyncPeriod",
            \.iptables.minSyncPeriod,
            flag: "iptables-min-sync-period",
            isZeroDefault: true,
            effect: noIPTables
        ),
        Setting(
            "ipvs.syncPeriod",
            \.ipvs.syncPeriod,
            flag: "ipvs-sync-period",
            """
            How often IPVS is read back and compared; an update that waits for twice this time \
            makes the node unhealthy.
            """,
            isZeroDefault: true
        ),
        Setting(
            "ipvs.minSyncPeriod",
            \.ipvs.minSyncPeriod,
            flag: "ipvs-min-sync-period",
            effect: immediate
        ),
        Setting(
            "ipvs.scheduler",
            \.ipvs.scheduler,
            flag: "ipvs-scheduler",
            "The IPVS scheduler of Services that name none: rr, wrr, lc, wlc, sh, mh and others."
        ),
        Setting(
            "ipvs.excludeCIDRs",
            \.ipvs.excludeCIDRs,
            flag: "ipvs-exclude-cidrs",
            "CIDR blocks whose virtual servers are never removed."
        ),
        Setting(
            "ipvs.strictARP",
            \.ipvs.strictARP,
            flag: "ipvs-strict-arp",
            "Answer ARP for an address on its own interface only (arp_ignore, arp_announce)."
        ),
        Setting(
            "ipvs.tcpTimeout",
            \.ipvs.tcpTimeout,
            flag: "ipvs-tcp-timeout",
            "How long IPVS keeps an idle TCP connection, as in 15m; 0s keeps the kernel's value."
        ),
        Setting(
            "ipvs.tcpFinTimeout",
            \.ipvs.tcpFinTimeout,
            flag: "ipvs-tcpfin-timeout",
            "How long IPVS keeps a TCP connection after a FIN; 0s keeps the kernel's value."
        ),
        Setting(
            "ipvs.udpTimeout",
            \.ipvs.udpTimeout,
            flag: "ipvs-udp-timeout",
            "How long IPVS keeps an idle UDP client; 0s keeps the kernel's value."
        ),
        Setting(
            "nftables.masqueradeBit",
            \.nftables.masqueradeBit,
            flag: "iptables-masquerade-bit",
            effect: noMark
        ),
        Setting(
            "nftables.masqueradeAll",
            \.nftables.masqueradeAll,
            flag: "masquerade-all",
            "Masquerade everything that is sent to cluster IPs.",
            isLive: true
        ),
        Setting(
            "nftables.syncPeriod",
            \.nftables.syncPeriod,
            flag: "iptables-sync-period",
            "An update that waits for twice this time makes the node unhealthy.",
            isZeroDefault: true
        ),
        Setting(
            "nftables.minSyncPeriod",
            \.nftables.minSyncPeriod,
            flag: "iptables-min-sync-period",
            isZeroDefault: true,
            effect: immediate
        ),
        Setting("winkernel.networkName", \.winkernel.networkName, effect: noWindows),
        Setting("winkernel.sourceVip", \.winkernel.sourceVip, effect: noWindows),
        Setting(
            "winkernel.rootHnsEndpointName",
            \.winkernel.rootHnsEndpointName,
            effect: noWindows
        ),
        Setting("winkernel.enableDSR", \.winkernel.enableDSR, effect: noWindows),
        Setting(
            "winkernel.forwardHealthCheckVip",
            \.winkernel.forwardHealthCheckVip,
            effect: noWindows
        ),
        Setting(
            "detectLocalMode",
            \.detectLocalMode,
            flag: "detect-local-mode",
            """
            How to tell this node's pods from others: ClusterCIDR, NodeCIDR, BridgeInterface or \
            InterfaceNamePrefix.
            """,
            isLive: true
        ),
        Setting(
            "detectLocal.bridgeInterface",
            \.detectLocal.bridgeInterface,
            flag: "pod-bridge-interface",
            "The pods' bridge, for detect-local-mode BridgeInterface.",
            isLive: true
        ),
        Setting(
            "detectLocal.interfaceNamePrefix",
            \.detectLocal.interfaceNamePrefix,
            flag: "pod-interface-name-prefix",
            "The beginning of pod interface names, for detect-local-mode InterfaceNamePrefix.",
            isLive: true
        ),
        Setting(
            "clusterCIDR",
            \.clusterCIDR,
            flag: "cluster-cidr",
            """
            CIDR blocks of all pods of the cluster, one of each family, to tell pods from others.
            """,
            isLive: true
        ),
        Setting(
            "nodePortAddresses",
            \.nodePortAddresses,
            flag: "nodeport-addresses",
            """
            Where NodePorts answer: CIDR blocks of node addresses, primary, localhost (127.0.0.1 and \
            ::1), all; default: all in mode iptables (also if no mode is given), and in mode ipvs by a file; else primary.
            """,
            isLive: true
        ),
        Setting(
            "conntrack.maxPerCore",
            \.conntrack.maxPerCore,
            flag: "conntrack-max-per-core",
            "How many connections can be tracked for each CPU; 0 leaves nf_conntrack_max alone."
        ),
        Setting(
            "conntrack.min",
            \.conntrack.min,
            flag: "conntrack-min",
            "How many connections can be tracked at least, however few CPUs there are."
        ),
        Setting(
            "conntrack.tcpEstablishedTimeout",
            \.conntrack.tcpEstablishedTimeout,
            flag: "conntrack-tcp-timeout-established",
            "How long an idle TCP connection is tracked; 0s keeps the kernel's value."
        ),
        Setting(
            "conntrack.tcpCloseWaitTimeout",
            \.conntrack.tcpCloseWaitTimeout,
            flag: "conntrack-tcp-timeout-close-wait",
            "How long a TCP connection in CLOSE_WAIT is tracked; 0s keeps the kernel's value."
        ),
        Setting(
            "conntrack.tcpBeLiberal",
            \.conntrack.tcpBeLiberal,
            flag: "conntrack-tcp-be-liberal",
            "Treat packets outside the TCP window as valid."
        ),
        Setting(
            "conntrack.udpTimeout",
            \.conntrack.udpTimeout,
            flag: "conntrack-udp-timeout",
            "How long a UDP flow without an answer is tracked; 0s keeps the kernel's value."
        ),
        Setting(
            "conntrack.udpStreamTimeout",
            \.conntrack.udpStreamTimeout,
            flag: "conntrack-udp-timeout-stream",
            "How long a UDP flow with answers is tracked; 0s keeps the kernel's value."
        ),
    ]
}
