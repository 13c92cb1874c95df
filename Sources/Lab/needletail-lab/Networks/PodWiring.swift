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

/// Pods on the nodes' own network: a MACVLAN or IPVLAN device in each, over the node's interface.
///
/// The kernel hands nothing from such a device to the interface below it, so a node and its pods
/// do not reach each other, and a proxy does not see what pods send to each other. Therefore the
/// node has such a device of its own, which is the pods' gateway to Services.
struct SharedInterfaceWiring: PodWiring {
    static let nodeDevice = "shim"
    /// The type of device, as `ip link` takes it.
    let device: String
    /// Whether nodes route to each other's pods, which answer no ARP; otherwise all pods are on one
    /// link.
    var isRouted = false

    private var prefixLength: Int { isRouted ? 24 : 16 }
    private var prefixLength6: Int { isRouted ? 64 : 16 }

    func prepare(_ node: Topology.Node) throws {
        try node.namespace.ip([
            "link add link eth0 name \(Self.nodeDevice) type \(device)",
            "addr add \(node.podGateway)/\(prefixLength) dev \(Self.nodeDevice)",
            "addr add \(node.podGateway6)/\(prefixLength6) dev \(Self.nodeDevice) nodad",
            "link set \(Self.nodeDevice) up",
        ])
    }

    func attach(_ pod: Topology.Pod) throws {
        try pod.node.namespace.ip([
            "link add link eth0 name m\(pod.portNumber) type \(device)",
            "link set m\(pod.portNumber) netns \(pod.namespace.name) name eth0",
        ])
        // Where the node forwards by the interface on which the kernel shows it a pod's packet, IPv6
        // tells the pod to go past the node, which must translate the answer.
        try pod.namespace.setSysctl("net/ipv6/conf/eth0/accept_redirects", "0")
        try pod.configure(prefixLength: prefixLength, prefixLength6: prefixLength6)
    }
}

/// A bridge on each node, as `BridgeWiring` has it, in a VRF with the node's uplink.
///
/// The VRF's table has all routes. A rule leads the node's own processes, which are in no VRF, to
/// this table, and sockets outside of a VRF take what comes in through one.
struct VRFWiring: PodWiring {
    static let device = "tenant"
    private static let table = 1001
    private let bridges = BridgeWiring(mtu: 1500)

    func prepare(_ node: Topology.Node) throws {
        let namespace = node.namespace
        for name in ["tcp", "udp"] {
            try namespace.setSysctl("net/ipv4/\(name)_l3mdev_accept", "1")
        }
        // Joining a VRF takes an interface down and up.
        try namespace.setSysctl("net/ipv6/conf/all/keep_addr_on_down", "1")
        try bridges.prepare(node)
        try namespace.ip([
            "link add \(Self.device) up type vrf table \(Self.table)",
            "link set eth0 master \(Self.device)",
            "link set \(BridgeWiring.bridge) master \(Self.device)",
            "route add default via \(Topology.clientAddress) vrf \(Self.device)",
            "route add default via \(Topology.clientAddress6) vrf \(Self.device)",
        ])
        for family in ["-4", "-6"] {
            try namespace.handle.run(
                ["ip", family, "rule", "add", "pref", "40000", "table", "\(Self.table)"]
            )
        }
    }

    func attach(_ pod: Topology.Pod) throws { try bridges.attach(pod) }
}
