internal import FoundationEssentials
internal import NetworkNamespaces
internal import Synchronization

/// A WireGuard device on each node, with the other nodes as its peers: what goes to a node's pods is
/// encrypted for that node, and only that node may send with their addresses.
final class WireGuardMesh: NodeInterconnect {
    static let program = "wg"
    /// The number of bytes that it adds over IPv6: IP, UDP, and 32 of its own.
    static let overhead = 80
    static let port = 51_820
    private static let device = "wg0"
    private let directory: String
    /// The private keys by the numbers of the nodes, made when they are first asked for.
    private let keys = Mutex<[Int: String]>([:])

    init(directory: String) { self.directory = directory }

    func connect(_ node: Topology.Node, _ others: [Topology.Node]) throws {
        let file = "\(directory)/wg-\(node.index).conf"
        try configuration(of: node, others).write(
            toFile: file,
            atomically: false,
            encoding: .utf8
        )
        let device = Self.device
        try node.namespace.ip(["link add \(device) mtu \(1500 - Self.overhead) type wireguard"])
        try node.namespace.handle.run([Self.program, "setconf", device, file])
        // The peers take these addresses from the node, which sends its own packets with them.
        try node.namespace.ip(
            [
                "addr add \(node.tunnelAddress)/32 dev \(device)",
                "addr add \(node.tunnelAddress6)/128 dev \(device) nodad",
                "link set \(device) up",
            ]
                + others.flatMap {
                    [
                        "route add \($0.podCIDR) dev \(device)",
                        "route add \($0.podCIDR6) dev \(device)",
                    ]
                }
        )
    }

    private func configuration(of node: Topology.Node, _ peers: [Topology.Node]) throws -> String {
        let own = """
            [Interface]
            PrivateKey = \(try key(of: node))
            ListenPort = \(Self.port)
            """
        let sections = try peers.map { peer in
            """
            [Peer]
            PublicKey = \(try Self.run("pubkey", input: key(of: peer)))
            Endpoint = \(peer.address):\(Self.port)
            AllowedIPs = \(peer.podCIDR), \(peer.podCIDR6)
            """
        }
        return ([own] + sections).joined(separator: "\n") + "\n"
    }

    private func key(of node: Topology.Node) throws -> String {
        try keys.withLock { keys in
            if let key = keys[node.index] { return key }
            let key = try Self.run("genkey")
            keys[node.index] = key
            return key
        }
    }

    /// Returns the line that `wg` prints.
    private static func run(_ command: String, input: String = "") throws -> String {
        String(try Command.run([program, command], input: input).prefix { !$0.isWhitespace })
    }
}
