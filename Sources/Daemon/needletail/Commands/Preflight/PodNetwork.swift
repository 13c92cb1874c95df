/// A program that makes the pods' network, told by the interfaces that it makes.
struct PodNetwork {
    let name: String
    /// Why it may balance Services itself; nil if it does not.
    let rivalry: String?

    private let isSign: @Sendable (String) -> Bool

    private init(
        _ name: String,
        _ rivalry: String? = nil,
        _ isSign: @escaping @Sendable (String) -> Bool
    ) {
        (self.name, self.rivalry, self.isSign) = (name, rivalry, isSign)
    }

    private static let known: [PodNetwork] = [
        PodNetwork(
            "Cilium",
            "with kubeProxyReplacement it balances Services at sockets and interfaces, before any rule;"
                + " use one of them only (cilium status)"
        ) { $0 == "cilium_host" },
        PodNetwork(
            "Calico's eBPF dataplane",
            "it balances Services itself, before any rule; turn bpfEnabled off"
        ) { $0 == "bpfin.cali" || $0 == "bpfout.cali" },
        PodNetwork("Calico") { $0.hasPrefix("cali") || $0 == "vxlan.calico" },
        PodNetwork("flannel") { $0.hasPrefix("flannel") },
        PodNetwork(
            "kube-router's service proxy",
            "it balances Services with IPVS; start it with --run-service-proxy=false"
        ) { $0 == "kube-dummy-if" },
        PodNetwork("kube-router") { $0 == "kube-bridge" },
        PodNetwork(
            "Antrea",
            "with antreaProxy.proxyAll it balances Services of the node as well; turn that off"
        ) { $0 == "antrea-gw0" },
        PodNetwork(
            "OVN-Kubernetes",
            "it balances Services itself, in Open vSwitch"
        ) { $0 == "ovn-k8s-mp0" },
        PodNetwork("Weave Net") { $0 == "weave" },
        PodNetwork("Amazon VPC CNI") { $0.hasPrefix("eni") },
        PodNetwork("Azure CNI") { $0.hasPrefix("azv") },
    ]
    /// flannel and others have their bridge from this plugin.
    private static let bridge = PodNetwork("the bridge plugin") { $0 == "cni0" }

    /// The networks that have made interfaces of these names.
    static func found(among interfaces: [String]) -> [PodNetwork] {
        let isHere = { (network: PodNetwork) in interfaces.contains(where: network.isSign) }
        let found = known.filter(isHere)
        return found.isEmpty && isHere(bridge) ? [bridge] : found
    }
}
