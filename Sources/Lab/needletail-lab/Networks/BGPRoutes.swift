internal import FoundationEssentials
internal import NetworkNamespaces

/// Routes between nodes that BIRD learns by BGP, as in Calico's node: each node announces the block
/// of its pods, in a full mesh or by a route reflector.
final class BGPRoutes: NodeInterconnect {
    static let program = "bird"
    private static let system = 64_512
    private let directory: String
    /// Whether all nodes speak to the first only, which passes on what it hears.
    private let hasReflector: Bool
    private let daemons = Processes()

    init(directory: String, hasReflector: Bool) {
        self.directory = directory
        self.hasReflector = hasReflector
    }

    func connect(_ node: Topology.Node, _ others: [Topology.Node]) throws {
        let file = "\(directory)/bird-\(node.index)"
        try configuration(of: node, others).write(
            toFile: "\(file).conf",
            atomically: false,
            encoding: .utf8
        )
        try daemons.start(
            [Self.program, "-f", "-c", "\(file).conf", "-s", "\(file).ctl", "-P", "\(file).pid"],
            in: node.namespace,
            log: "\(file).log"
        )
    }

    /// Returns BIRD's configuration for one node.
    func configuration(of node: Topology.Node, _ others: [Topology.Node]) -> String {
        let isReflector = hasReflector && node.index == 1
        let peers = hasReflector && !isReflector ? others.filter { $0.index == 1 } : others
        let sessions = peers.flatMap { peer in
            [
                session(peer, "ipv4", node.address, peer.address, isReflector),
                session(peer, "ipv6", node.address6, peer.address6, isReflector),
            ]
        }
        return """
            log stderr all;
            router id \(node.address);
            protocol device { scan time 2; }
            protocol direct { ipv4; ipv6; interface "eth0"; }
            protocol static { ipv4; route \(node.podCIDR) blackhole; }
            protocol static { ipv6; route \(node.podCIDR6) blackhole; }
            protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
            protocol kernel { ipv6 { import none; export where source = RTS_BGP; }; }
            \(sessions.joined(separator: "\n"))

            """
    }

    private func session(
        _ peer: Topology.Node,
        _ channel: String,
        _ own: String,
        _ address: String,
        _ isReflector: Bool
    ) -> String {
        // BIRD's names have no hyphens.
        """
        protocol bgp \(peer.name.replacing("-", with: "_"))_\(channel) {
            local \(own) as \(Self.system);
            neighbor \(address) as \(Self.system);
            connect delay time 1;
            connect retry time 1;
            error wait time 1, 2;
            \(isReflector ? "rr client;" : "")
            \(channel) { import all; export where source = RTS_STATIC\(isReflector ? " || source = RTS_BGP" : ""); };
        }
        """
    }

    func wait(for nodes: [Topology.Node]) throws {
        for node in nodes {
            for other in nodes where other.index != node.index {
                try waitUntil("\(node.name) learned no route to \(other.podCIDR) by BGP") {
                    try hasRoute(node, to: other)
                }
            }
        }
    }

    private func hasRoute(_ node: Topology.Node, to other: Topology.Node) throws -> Bool {
        try [("-4", other.podCIDR), ("-6", other.podCIDR6)].allSatisfy { family, block in
            try node.namespace.handle.run(["ip", family, "route", "show", "proto", "bird"])
                .contains(block)
        }
    }

    func stop() { daemons.stop() }
}
