package import NetworkTypes

/// The configuration `kubeproxy.config.k8s.io/v1alpha1` with its defaults, plus needletail's
/// section.
///
/// Values are kept as written; `validate()` reports those that are invalid.
package struct KubeProxyConfiguration: Sendable, Hashable {
    package struct ClientConnection: Sendable, Hashable {
        package var kubeconfig = ""
        package var acceptContentTypes = ""
        package var contentType = "application/vnd.kubernetes.protobuf"
        package var qps = 5.0
        package var burst = 10
    }

    package struct Logging: Sendable, Hashable {
        package var format = "text"
        package var flushFrequency = TimeSpan(seconds: 5)
        package var verbosity = 0
        package var vmodule: [String] = []
        package var textSplitStream = false
        package var textInfoBufferSize = "0"
        package var jsonSplitStream = false
        package var jsonInfoBufferSize = "0"
    }

    package struct Conntrack: Sendable, Hashable {
        package var maxPerCore = 32768
        package var min = 131_072
        package var tcpEstablishedTimeout = TimeSpan(seconds: 86400)
        package var tcpCloseWaitTimeout = TimeSpan(seconds: 3600)
        package var tcpBeLiberal = false
        package var udpTimeout = TimeSpan()
        package var udpStreamTimeout = TimeSpan()
    }

    package struct IPTables: Sendable, Hashable {
        package var masqueradeBit = 14
        package var masqueradeAll = false
        package var localhostNodePorts = true
        package var syncPeriod = TimeSpan(seconds: 30)
        package var minSyncPeriod = TimeSpan(seconds: 1)
    }

    package struct IPVS: Sendable, Hashable {
        package var syncPeriod = TimeSpan(seconds: 30)
        package var minSyncPeriod = TimeSpan()
        package var scheduler = ""
        package var excludeCIDRs: [String] = []
        package var strictARP = false
        package var tcpTimeout = TimeSpan()
        package var tcpFinTimeout = TimeSpan()
        package var udpTimeout = TimeSpan()
    }

    package struct NFTables: Sendable, Hashable {
        package var masqueradeBit = 14
        package var masqueradeAll = false
        package var syncPeriod = TimeSpan(seconds: 30)
        package var minSyncPeriod = TimeSpan(seconds: 1)
    }

    package struct Winkernel: Sendable, Hashable {
        package var networkName = ""
        package var sourceVip = ""
        package var rootHnsEndpointName = ""
        package var enableDSR = false
        package var forwardHealthCheckVip = false
    }

    package struct DetectLocal: Sendable, Hashable {
        package var bridgeInterface = ""
        package var interfaceNamePrefix = ""
    }

    /// The section `needletail`, with settings that kube-proxy does not have.
    package struct Needletail: Sendable, Hashable {
        package var nodeIPs: [String] = []
        package var ipvsDrainTimeout = TimeSpan(seconds: 900)
        package var endpointsSource = "endpointslices"
        package var takeover = true
        /// The number of Services that have metrics of their own.
        package var serviceMetrics = 0
        /// The number of warnings per minute about the objects of one namespace.
        package var namespaceWarnings = 60
        /// Whether `spec.externalIPs` may contain the node's own addresses.
        package var nodeAddressesAsExternalIPs = false
    }

    package var featureGates: [String: Bool] = [:]
    package var clientConnection = ClientConnection()
    package var logging = Logging()
    package var hostnameOverride = ""
    package var bindAddress = "0.0.0.0"
    package var healthzBindAddress = ""
    package var metricsBindAddress = ""
    package var bindAddressHardFail = false
    package var enableProfiling = false
    package var showHiddenMetricsForVersion = ""
    package var mode = ""
    package var iptables = IPTables()
    package var ipvs = IPVS()
    package var nftables = NFTables()
    package var winkernel = Winkernel()
    package var detectLocalMode = ""
    package var detectLocal = DetectLocal()
    package var clusterCIDR = ""
    package var nodePortAddresses: [String] = []
    package var oomScoreAdj = -999
    package var conntrack = Conntrack()
    package var configSyncPeriod = TimeSpan(seconds: 900)
    package var portRange = ""
    package var windowsRunAsService = false
    package var needletail = Needletail()

    package init() {}
}

/// The way in which the kernel is programmed.
package enum ProxyMode: String, Sendable, CaseIterable {
    case nftables
    case ipvs
}

// MARK: - Values derived from several fields

extension KubeProxyConfiguration {
    /// The mode in use; mode iptables runs as nftables, its successor.
    package var proxyMode: ProxyMode { mode == "ipvs" ? .ipvs : .nftables }

    /// Whether all traffic to cluster IPs is masqueraded; kube-proxy has a field for this in each
    /// mode.
    package var masqueradesAll: Bool { iptables.masqueradeAll || nftables.masqueradeAll }

    /// Whether external IPs are programmed, by the only feature gate of kube-proxy about that
    /// (KEP-5707).
    package var allowsExternalIPs: Bool { featureGates[Self.externalIPsGate] ?? true }

    private static let externalIPsGate = "AllowServiceExternalIPs"
    private static let localhostGate = "KubeProxyNFTablesLocalhostNodePorts"

    /// The feature gates of kube-proxy that have an effect here.
    package static let effectiveGates: Set = [externalIPsGate, localhostGate]

    /// The meaning of `nodePortAddresses` in this mode.
    ///
    /// The default is all addresses in mode iptables (`server_linux.go: platformApplyDefaults`),
    /// and `primary` in other modes. Mode iptables answers on 127.0.0.1 as well, unless
    /// `iptables.localhostNodePorts` is false.
    package var nodePortAddressesInForce: NodePortAddresses {
        let isUnset = nodePortAddresses.isEmpty
        var addresses = NodePortAddresses(
            isUnset ? [isModeIPTables ? "all" : "primary"] : nodePortAddresses
        )
        if featureGates[Self.localhostGate] == false { addresses.localhost = [] }
        if isModeIPTables, iptables.localhostNodePorts,
            addresses.blocks.contains(where: { $0.contains(.loopback(.ipv4)) })
        {
            addresses.localhost.insert(.ipv4)
        }
        return addresses
    }

    /// The log notice that NodePorts answer on more addresses by default than in mode nftables.
    ///
    /// Nil if that is not so.
    package var nodePortNotice: String? {
        guard isModeIPTables, nodePortAddresses.isEmpty else { return nil }
        let localhost = iptables.localhostNodePorts ? ", 127.0.0.1 included" : ""
        return
            "nodePortAddresses (--nodeport-addresses) is not set: NodePorts answer on all addresses of"
            + " this node\(localhost), as in kube-proxy's mode iptables; with mode nftables they would on"
            + " the primary ones alone"
    }

    /// Whether the mode is iptables, which an empty mode means too.
    private var isModeIPTables: Bool { mode.isEmpty || mode == "iptables" }

    private var isIPv6Bound: Bool { bindAddress.contains(":") }

    var healthzHost: String { isIPv6Bound ? "[::]" : "0.0.0.0" }
    var metricsHost: String { isIPv6Bound ? "[::1]" : "127.0.0.1" }

    /// The address and port of the health server; empty if there is no such server.
    package var healthzAddress: String { Self.withPort(healthzBindAddress, healthzHost, 10256) }

    package var metricsAddress: String { Self.withPort(metricsBindAddress, metricsHost, 10249) }

    /// The word that turns a server off; an empty address means the default one.
    package static let noAddress = "none"

    static func withPort(_ text: String, _ host: String, _ port: Int) -> String {
        guard text != noAddress else { return "" }
        guard !text.isEmpty else { return "\(host):\(port)" }
        let colons = text.count { $0 == ":" }
        if text.hasSuffix("]") || colons == 0 { return "\(text):\(port)" }
        // This is an IPv6 address without a port.
        if colons > 1, !text.contains("[") { return "[\(text)]:\(port)" }
        return text
    }

    /// The sync period of the mode in use.
    ///
    /// An update that takes more than twice this time makes the node unhealthy.
    package var syncPeriod: TimeSpan {
        switch proxyMode {
        case .ipvs: ipvs.syncPeriod
        case .nftables: isModeIPTables ? iptables.syncPeriod : nftables.syncPeriod
        }
    }
}
