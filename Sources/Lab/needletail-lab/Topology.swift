internal import NetworkNamespaces

/// A cluster of namespaces: nodes on an underlay of one or two segments, each with its pods, and a
/// client outside of the cluster.
///
///     client ──┐
///     api ─────┤ switch (172.31.0.0/24, fd31::/64)
///     node1 ───┤
///     node2 ───┘   └ node: the wiring of its kind of network ─ pods (10.244.N.0/24)
///
/// The nodes of the other segment (172.31.1.0/24) are behind a router. How pods are attached, and
/// how their packets get from node to node, depends on the kind of network. Only the proxies know
/// of Services.
struct Topology: Sendable {
    struct Node: Sendable {
        let index: Int
        /// The part of the underlay that the node is on: 0 or 1.
        let segment: Int
        let name: String

        var namespace: Namespace { Namespace(name) }
        var address: String { Topology.underlay(segment, 10 + index) }
        var address6: String { Topology.underlay6(segment, 10 + index) }
        var podCIDR: String { "10.244.\(index).0/24" }
        var podCIDR6: String { "fd44:\(index)::/64" }
        /// The node's address among its pods, if the wiring has one.
        var podGateway: String { "10.244.\(index).1" }
        var podGateway6: String { "fd44:\(index)::1" }
        /// The address of the node's end of a tunnel, if its network has tunnels.
        var tunnelAddress: String { "10.244.\(index).0" }
        var tunnelAddress6: String { "fd44:\(index)::" }
    }

    struct Pod: Sendable {
        let name: String
        let node: Node
        let index: Int
        var namespace: Namespace { Namespace("pod-\(name)") }
        var address: String { "10.244.\(node.index).\(1 + index)" }
        var address6: String { "fd44:\(node.index)::\(1 + index)" }
        /// The node's end of the pod's veth pair, after the wiring's prefix.
        var portNumber: String { "\(node.index)-\(index)" }
    }

    static let clusterCIDR = "10.244.0.0/16"
    static let clusterCIDR6 = "fd44::/16"
    static let clientAddress = "172.31.0.100"
    static let clientAddress6 = "fd31::100"
    static let apiAddress = "172.31.0.2"
    static let apiAddress6 = "fd31::2"
    static let apiPort: UInt16 = 6443
    /// The addresses of load balancers, which the client routes to the first node.
    static let loadBalancerCIDR = "203.0.113.0/24"

    let nodes: [Node]
    /// The pods that answer.
    let pods: [Pod]
    /// The pod that is an ingress, if there is one.
    let ingress: Pod?
    /// The pods that answer and the ingress.
    let everyPod: [Pod]
    let kind: NetworkKind
    let client = Namespace("client")
    let api = Namespace("api")
    private let fabric = Namespace("switch")
    private let wiring: any PodWiring
    private let interconnect: any NodeInterconnect

    /// Makes the description of a cluster; `build` creates it.
    ///
    /// - Parameter directory: where programs of the network keep their files
    init(_ layout: ClusterLayout, kind: NetworkKind, directory: String) {
        // On two segments the last node is alone on its own.
        let last = layout.nodes.count - 1
        let nodes = layout.nodes.enumerated().map {
            Node(index: 1 + $0, segment: kind.hasTwoSegments && $0 == last ? 1 : 0, name: $1)
        }
        self.nodes = nodes
        self.kind = kind
        wiring = kind.wiring(directory)
        interconnect = kind.interconnect(directory)
        var counts = [Int](repeating: 0, count: nodes.count)
        let all = layout.pods.map { pod in
            counts[pod.node] += 1
            return Pod(name: pod.name, node: nodes[pod.node], index: counts[pod.node])
        }
        everyPod = all
        pods = all.filter { $0.name != layout.ingress }
        ingress = all.first { $0.name == layout.ingress }
    }

    func build() throws {
        let all = [fabric, client, api] + nodes.map(\.namespace) + everyPod.map(\.namespace)
        for namespace in all {
            try namespace.create()
            try namespace.setSysctl("net/ipv6/conf/default/accept_dad", "0")
            try namespace.ip(["link set lo up"])
        }
        try buildSegments()
        try plug(client, port: "client", 0, Self.clientAddress, Self.clientAddress6)
        try plug(api, port: "api", 0, Self.apiAddress, Self.apiAddress6)
        try client.ip(["route add \(Self.loadBalancerCIDR) via \(nodes[0].address)"])
        for node in nodes { try prepare(node) }
        for pod in everyPod { try wiring.attach(pod) }
        for node in nodes {
            try interconnect.connect(node, nodes.filter { $0.index != node.index })
        }
        try interconnect.wait(for: nodes)
    }

    /// Takes a node off the underlay, or plugs it in again.
    func setPlugged(_ node: Node, _ isPlugged: Bool) throws {
        try fabric.ip(["link set \(node.name) \(isPlugged ? "up" : "down")"])
    }

    /// Ends what the network runs.
    func stop() { interconnect.stop() }

    // MARK: The underlay

    private static func bridge(_ segment: Int) -> String { "switch\(segment)" }
    private static func router(_ segment: Int) -> String { underlay(segment, 1) }
    private static func router6(_ segment: Int) -> String { underlay6(segment, 1) }

    /// Returns an address of the underlay by its last part.
    private static func underlay(_ segment: Int, _ last: Int) -> String {
        "172.31.\(segment).\(last)"
    }

    private static func underlay6(_ segment: Int, _ last: Int) -> String {
        (segment == 0 ? "fd31::" : "fd31:0:0:\(segment)::") + "\(last)"
    }

    private func buildSegments() throws {
        for segment in Set(nodes.map(\.segment)).sorted() {
            try fabric.ip([
                "link add \(Self.bridge(segment)) type bridge",
                "addr add \(Self.router(segment))/24 dev \(Self.bridge(segment))",
                "addr add \(Self.router6(segment))/64 dev \(Self.bridge(segment)) nodad",
                "link set \(Self.bridge(segment)) up",
            ])
        }
        try fabric.forward()
        try fabric.ip([
            "route add default via \(Self.clientAddress)",
            "route add default via \(Self.clientAddress6)",
        ])
    }

    private func plug(
        _ namespace: Namespace,
        port: String,
        _ segment: Int,
        _ address: String,
        _ address6: String
    ) throws {
        try fabric.ip([
            "link add \(port) type veth peer name eth0 netns \(namespace.name)",
            "link set \(port) master \(Self.bridge(segment))", "link set \(port) up",
        ])
        try namespace.ip([
            "addr add \(address)/24 dev eth0", "addr add \(address6)/64 dev eth0 nodad",
            "link set eth0 up",
        ])
        guard kind.hasTwoSegments, segment == 0 else { return }
        try namespace.ip([
            "route add 172.31.1.0/24 via \(Self.router(0))",
            "route add fd31:0:0:1::/64 via \(Self.router6(0))",
        ])
    }

    private func prepare(_ node: Node) throws {
        try node.namespace.forward()
        try plug(node.namespace, port: node.name, node.segment, node.address, node.address6)
        // Whatever nobody knows goes to the client, which stands for the rest of the world.
        let isNear = node.segment == 0
        try node.namespace.ip([
            "route add default via \(isNear ? Self.clientAddress : Self.router(node.segment))",
            "route add default via \(isNear ? Self.clientAddress6 : Self.router6(node.segment))",
        ])
        try wiring.prepare(node)
    }
}

extension Namespace {
    fileprivate func forward() throws {
        try setSysctl("net/ipv4/ip_forward", "1")
        try setSysctl("net/ipv6/conf/all/forwarding", "1")
    }
}
