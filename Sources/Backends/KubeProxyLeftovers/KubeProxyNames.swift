/// The tables and chains of iptables that kube-proxy's modes iptables and ipvs use, or used in the
/// past (`pkg/proxy/iptables/proxier.go`, `pkg/proxy/ipvs/proxier.go`).
package enum KubeProxyChains {
    package static let tables: Set = ["nat", "filter", "mangle"]
    private static let names: Set = [
        "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING",
        "KUBE-MARK-MASQ", "KUBE-FORWARD", "KUBE-PROXY-FIREWALL", "KUBE-PROXY-CANARY",
        "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-SOURCE-RANGES-FIREWALL", "KUBE-IPVS-FILTER",
        "KUBE-IPVS-OUT-FILTER",
    ]
    private static let prefixes = [
        "KUBE-SVC-", "KUBE-SEP-", "KUBE-EXT-", "KUBE-FW-", "KUBE-XLB-", "KUBE-SVL-",
    ]

    package static func contains(_ chain: String) -> Bool {
        names.contains(chain) || prefixes.contains { chain.hasPrefix($0) }
    }
}

extension String {
    /// Whether this is the name of a set of kube-proxy's (`pkg/proxy/ipvs/ipset.go`).
    var isKubeProxySet: Bool {
        KubeProxySets.names.contains(self)
    }
}

private enum KubeProxySets {
    /// The kernel's limit for names (`IPSET_MAXNAMELEN`, without the end); kube-proxy cuts the
    /// names of IPv6 sets to it (`NewIPSet`).
    private static let longest = 31

    static let names = Set(
        [
            "LOOP-BACK", "CLUSTER-IP", "LOAD-BALANCER", "LOAD-BALANCER-LOCAL", "LOAD-BALANCER-FW",
            "LOAD-BALANCER-SOURCE-IP", "LOAD-BALANCER-SOURCE-CIDR", "EXTERNAL-IP",
            "EXTERNAL-IP-LOCAL", "NODE-PORT-TCP", "NODE-PORT-LOCAL-TCP", "NODE-PORT-UDP",
            "NODE-PORT-LOCAL-UDP", "NODE-PORT-SCTP-HASH", "NODE-PORT-LOCAL-SCTP-HASH",
            "HEALTH-CHECK-NODE-PORT", "IPVS-IPS",
        ].flatMap { ["KUBE-\($0)", String("KUBE-6-\($0)".prefix(longest))] }
    )
}
