internal import NetworkNamespaces

/// How the pods of a node are attached to it.
protocol PodWiring: Sendable {
    /// Makes what the node needs before its first pod.
    func prepare(_ node: Topology.Node) throws
    func attach(_ pod: Topology.Pod) throws
}

extension Topology.Pod {
    /// Gives the pod its addresses, and the node as its gateway.
    fileprivate func configure(prefixLength: Int, prefixLength6: Int) throws {
        try namespace.ip([
            "addr add \(address)/\(prefixLength) dev eth0",
            "addr add \(address6)/\(prefixLength6) dev eth0 nodad", "link set eth0 up",
            "route add default via \(node.podGateway)",
            "route add default via \(node.podGateway6)",
        ])
    }
}

/// A bridge on each node, and a veth pair from it to each pod.
///
/// This is what the plugin `bridge` of the CNI project makes, which flannel delegates to.
struct BridgeWiring: PodWiring {
    static let bridge = "cni0"
    /// The beginning of the names of the ports.
    static let prefix = "v"
    /// The MTU of the bridge and of the pods.
    let mtu: Int

    func prepare(_ node: Topology.Node) throws {
        try node.namespace.ip([
            "link add \(Self.bridge) mtu \(mtu) type bridge",
            "addr add \(node.podGateway)/24 dev \(Self.bridge)",
            "addr add \(node.podGateway6)/64 dev \(Self.bridge) nodad",
            "link set \(Self.bridge) up",
        ])
    }

    func attach(_ pod: Topology.Pod) throws {
        let port = "\(Self.prefix)\(pod.portNumber)"
        // Hairpin: a bridge must be able to send a pod's packet back through the port it came from.
        try pod.node.namespace.ip([
            "link add \(port) mtu \(mtu) type veth peer name eth0 mtu \(mtu) netns \(pod.namespace.name)",
            "link set \(port) master \(Self.bridge)",
            "link set \(port) type bridge_slave hairpin on", "link set \(port) up",
        ])
        try pod.configure(prefixLength: 24, prefixLength6: 64)
    }
}

/// A route on the node for each pod, without a bridge, as Calico's Felix and its CNI plugin make it.
///
/// A pod has a /32 and sends everything to 169.254.1.1, which nobody has: the node's end of the veth
/// pair answers for it (proxy ARP). In IPv6 the gateway is that end's link-local address.
struct RoutedWiring: PodWiring {
    static let prefix = "cali"
    private static let hardwareAddress = "ee:ee:ee:ee:ee:ee"
    private static let linkLocal = "fe80::ecee:eeff:feee:eeee"
    let mtu: Int

    func prepare(_ node: Topology.Node) throws {}

    func attach(_ pod: Topology.Pod) throws {
        let node = pod.node.namespace
        let port = "\(Self.prefix)\(pod.portNumber)"
        try node.ip([
            "link add \(port) mtu \(mtu) address \(Self.hardwareAddress) type veth peer name eth0 mtu \(mtu) netns \(pod.namespace.name)"
        ])
        try node.setSysctl("net/ipv4/conf/\(port)/proxy_arp", "1")
        try node.setSysctl("net/ipv4/neigh/\(port)/proxy_delay", "0")
        try node.ip([
            "link set \(port) up", "route add \(pod.address)/32 dev \(port) scope link",
            "route add \(pod.address6)/128 dev \(port)",
        ])
        try pod.namespace.ip([
            "addr add \(pod.address)/32 dev eth0", "addr add \(pod.address6)/128 dev eth0 nodad",
            "link set eth0 up", "route add 169.254.1.1 dev eth0 scope link",
            "route add default via 169.254.1.1 dev eth0",
            "route add default via \(Self.linkLocal) dev eth0",
        ])
    }
}

/// Pods on the nodes' own network: a MACVLAN device in each, over the node's interface.
///
/// The kernel hands nothing from such a device to the interface below it, so a node and its pods
/// do not reach each other, and a proxy does not see what pods send. Therefore the node has a
/// MACVLAN device of its own, to which the pods route the addresses of Services.
struct MACVLANWiring: PodWiring {
    static let nodeDevice = "shim"

    func prepare(_ node: Topology.Node) throws {
        try node.namespace.ip([
            "link add link eth0 name \(Self.nodeDevice) type macvlan mode bridge",
            "addr add \(node.podGateway)/16 dev \(Self.nodeDevice)",
            "addr add \(node.podGateway6)/16 dev \(Self.nodeDevice) nodad",
            "link set \(Self.nodeDevice) up",
        ])
    }

    func attach(_ pod: Topology.Pod) throws {
        try pod.node.namespace.ip([
            "link add link eth0 name m\(pod.portNumber) type macvlan mode bridge",
            "link set m\(pod.portNumber) netns \(pod.namespace.name) name eth0",
        ])
        try pod.configure(prefixLength: 16, prefixLength6: 16)
    }
}
