internal import NetworkNamespaces

/// How packets for pods get from node to node.
protocol NodeInterconnect: Sendable {
    /// Makes a node's ways to the others.
    func connect(_ node: Topology.Node, _ others: [Topology.Node]) throws
    /// Waits until every node knows its ways.
    func wait(for nodes: [Topology.Node]) throws
    /// Ends what was started.
    func stop()
}

extension NodeInterconnect {
    func wait(for nodes: [Topology.Node]) throws {}
    func stop() {}
}

/// Nothing: the pods are on one network already.
struct SharedNetwork: NodeInterconnect {
    func connect(_ node: Topology.Node, _ others: [Topology.Node]) throws {}
}

/// A route to each other node's pods by that node's address, as flannel's host-gw writes them.
struct HostRoutes: NodeInterconnect {
    /// The VRF whose table gets them; nil for the main table.
    var vrf: String?

    func connect(_ node: Topology.Node, _ others: [Topology.Node]) throws {
        let end = vrf.map { " vrf \($0)" } ?? ""
        try node.namespace.ip(others.flatMap(Self.routes).map { $0 + end })
    }

    static func routes(to other: Topology.Node) -> [String] {
        [
            "route add \(other.podCIDR) via \(other.address)",
            "route add \(other.podCIDR6) via \(other.address6)",
        ]
    }
}

/// A VXLAN device on each node that learns nothing: routes, neighbours and the addresses of the
/// other nodes are written for each of them, as flanneld and Felix do.
struct VXLANOverlay: NodeInterconnect {
    /// The number of bytes that VXLAN adds over IPv4: outer IP, UDP, VXLAN and inner Ethernet.
    static let overhead = 50
    static let flannel = VXLANOverlay(
        device: "flannel.1",
        device6: "flannel-v6.1",
        id: 1,
        port: 8472
    )
    static let calico = VXLANOverlay(
        device: "vxlan.calico",
        device6: "vxlan-v6.calico",
        id: 4096,
        port: 4789
    )

    let device: String
    let device6: String
    let id: Int
    let port: Int
    /// Whether nodes of the same segment are reached by routes instead (flannel's `DirectRouting`).
    var isDirectWithinSegment = false

    func connect(_ node: Topology.Node, _ others: [Topology.Node]) throws {
        try node.namespace.ip([
            "link add \(device) address \(Self.hardwareAddress(node, 4)) mtu \(1500 - Self.overhead) type vxlan id \(id) local \(node.address) dev eth0 dstport \(port) nolearning",
            "addr add \(node.tunnelAddress)/32 dev \(device)", "link set \(device) up",
            // The outer header is 20 bytes longer in IPv6.
            "link add \(device6) address \(Self.hardwareAddress(node, 6)) mtu \(1480 - Self.overhead) type vxlan id \(id) local \(node.address6) dev eth0 dstport \(port) nolearning",
            "addr add \(node.tunnelAddress6)/128 dev \(device6) nodad", "link set \(device6) up",
        ])
        for other in others {
            if isDirectWithinSegment, other.segment == node.segment {
                try node.namespace.ip(HostRoutes.routes(to: other))
                continue
            }
            let hardware = Self.hardwareAddress(other, 4)
            let hardware6 = Self.hardwareAddress(other, 6)
            try node.namespace.ip([
                "neigh add \(other.tunnelAddress) lladdr \(hardware) dev \(device) nud permanent",
                "route add \(other.podCIDR) via \(other.tunnelAddress) dev \(device) onlink",
                "neigh add \(other.tunnelAddress6) lladdr \(hardware6) dev \(device6) nud permanent",
                "route add \(other.podCIDR6) via \(other.tunnelAddress6) dev \(device6) onlink",
            ])
            for (device, hardware, address) in [
                (device, hardware, other.address), (device6, hardware6, other.address6),
            ] {
                let entry = "fdb append \(hardware) dev \(device) dst \(address)"
                try node.namespace.handle.run(
                    ["bridge"] + entry.split(separator: " ").map(String.init)
                )
            }
        }
    }

    private static func hardwareAddress(_ node: Topology.Node, _ family: Int) -> String {
        "0e:00:00:00:0\(family):0\(node.index)"
    }
}

/// An IPIP device on each node, as Calico has it; IPv6 goes by routes.
struct IPIPTunnels: NodeInterconnect {
    private static let device = "tunl0"

    func connect(_ node: Topology.Node, _ others: [Topology.Node]) throws {
        // The kernel makes this device in every namespace.
        try node.namespace.ip(
            [
                "link set \(Self.device) mtu 1480 up",
                "addr add \(node.tunnelAddress)/32 dev \(Self.device)",
            ]
                + others.flatMap {
                    [
                        "route add \($0.podCIDR) via \($0.address) dev \(Self.device) onlink",
                        "route add \($0.podCIDR6) via \($0.address6)",
                    ]
                }
        )
    }
}
