/// A cluster of namespaces: nodes on one switch, each with a bridge for its pods, and a client
/// outside the cluster.
///
///     client ──┐
///     api ─────┤ switch (172.31.0.0/24, fd31::/64)
///     node1 ───┤
///     node2 ───┘   └ node: bridge cni0 (10.244.N.1/24) ─ pods
///
/// Nodes have routes to each other's pods. Nothing else knows of pods, and only the proxies know of
/// Services.
struct Topology: Sendable {
    struct Node: Sendable {
        let index: Int
        var name: String { "node\(index)" }
        var namespace: Namespace { Namespace(name) }
        var address: String { "172.31.0.\(10 + index)" }
        var address6: String { "fd31::\(10 + index)" }
        var podCIDR: String { "10.244.\(index).0/24" }
        var podCIDR6: String { "fd44:\(index)::/64" }
        var bridgeAddress: String { "10.244.\(index).1" }
        var bridgeAddress6: String { "fd44:\(index)::1" }
    }

    struct Pod: Sendable {
        let name: String
        let node: Node
        let index: Int
        var namespace: Namespace { Namespace("pod-\(name)") }
        var address: String { "10.244.\(node.index).\(1 + index)" }
        var address6: String { "fd44:\(node.index)::\(1 + index)" }
    }

    static let clusterCIDRs = "10.244.0.0/16,fd44::/16"
    static let clientAddress = "172.31.0.100"
    static let clientAddress6 = "fd31::100"
    static let apiAddress = "172.31.0.2"
    static let apiAddress6 = "fd31::2"
    static let apiPort: UInt16 = 6443
    /// The addresses of load balancers, which the client routes to the first node.
    static let loadBalancerCIDR = "203.0.113.0/24"

    let nodes: [Node]
    let pods: [Pod]
    let client = Namespace("client")
    let api = Namespace("api")
    private let fabric = Namespace("switch")

    /// Makes the description of a cluster; `build` creates it.
    ///
    /// - Parameter podNames: the names of the pods, which are assigned to the nodes in turn
    init(nodeCount: Int, podNames: [String]) {
        let nodes = (1...nodeCount).map(Node.init)
        self.nodes = nodes
        pods = podNames.enumerated().map { position, name in
            Pod(name: name, node: nodes[position % nodeCount], index: 1 + position / nodeCount)
        }
    }

    func build() throws {
        let all = [fabric, client, api] + nodes.map(\.namespace) + pods.map(\.namespace)
        for namespace in all {
            try namespace.create()
            try namespace.setSysctl("net/ipv6/conf/default/accept_dad", "0")
            try namespace.ip(["link set lo up"])
        }
        try fabric.ip(["link add switch type bridge", "link set switch up"])
        try plug(client, port: "client", Self.clientAddress, Self.clientAddress6)
        try plug(api, port: "api", Self.apiAddress, Self.apiAddress6)
        try client.ip(["route add \(Self.loadBalancerCIDR) via \(nodes[0].address)"])
        for node in nodes { try build(node) }
        for pod in pods { try build(pod) }
    }

    private func plug(
        _ namespace: Namespace,
        port: String,
        _ address: String,
        _ address6: String
    ) throws {
        try fabric.ip([
            "link add \(port) type veth peer name eth0 netns \(namespace.name)",
            "link set \(port) master switch", "link set \(port) up",
        ])
        try namespace.ip([
            "addr add \(address)/24 dev eth0", "addr add \(address6)/64 dev eth0 nodad",
            "link set eth0 up",
        ])
    }

    private func build(_ node: Node) throws {
        try node.namespace.setSysctl("net/ipv4/ip_forward", "1")
        try node.namespace.setSysctl("net/ipv6/conf/all/forwarding", "1")
        try plug(node.namespace, port: node.name, node.address, node.address6)
        try node.namespace.ip(
            [
                "link add cni0 type bridge", "addr add \(node.bridgeAddress)/24 dev cni0",
                "addr add \(node.bridgeAddress6)/64 dev cni0 nodad", "link set cni0 up",
                "route add default via \(Self.clientAddress)",
                "route add default via \(Self.clientAddress6)",
            ]
                + nodes.filter { $0.index != node.index }.flatMap {
                    [
                        "route add \($0.podCIDR) via \($0.address)",
                        "route add \($0.podCIDR6) via \($0.address6)",
                    ]
                }
        )
    }

    private func build(_ pod: Pod) throws {
        let port = "v\(pod.node.index)-\(pod.index)"
        // Hairpin: a bridge must be able to send a pod's packet back through the port it came from.
        try pod.node.namespace.ip([
            "link add \(port) type veth peer name eth0 netns \(pod.namespace.name)",
            "link set \(port) master cni0", "link set \(port) type bridge_slave hairpin on",
            "link set \(port) up",
        ])
        try pod.namespace.ip([
            "addr add \(pod.address)/24 dev eth0", "addr add \(pod.address6)/64 dev eth0 nodad",
            "link set eth0 up", "route add default via \(pod.node.bridgeAddress)",
            "route add default via \(pod.node.bridgeAddress6)",
        ])
    }
}
