internal import NetworkNamespaces
internal import NetworkTypes

/// How needletail tells a node's pods, checked in every way that applies, and in some that are
/// wrong.
///
/// The proxy of the first node is started anew with each. A pod connects to a Service on another
/// node, and the client outside connects to its cluster IP by way of the first node.
struct DetectionChecks {
    /// What comes of a choice.
    private struct Choice {
        let flags: [String]
        /// Whether the endpoint sees the pod, or the node instead of it.
        let showsPod: Bool
        /// Whether the client outside is masqueraded, so that it gets an answer.
        var masqueradesOutside = true
    }

    /// The names of the checks, in their order.
    static let names = [
        "pods told by ClusterCIDR", "pods told by NodeCIDR", "pods told by BridgeInterface",
        "pods told by InterfaceNamePrefix", "a wrong interface: endpoints see the node",
        "blocks without the pods: endpoints see the node",
        "blocks with everyone: outside → cluster IP is lost",
    ]

    private let cluster: Cluster
    private let services: NetworkServices
    private let families: [IPFamily]
    private let mode: ProxyMode

    init(
        _ cluster: Cluster,
        _ services: NetworkServices,
        _ families: [IPFamily],
        _ mode: ProxyMode
    ) {
        (self.cluster, self.services, self.families) = (cluster, services, families)
        self.mode = mode
    }

    private var topology: Topology { cluster.topology }

    /// Runs the checks, and hands over each result of each family.
    ///
    /// The first node's proxy stays with the last choice.
    func run(_ report: (String, IPFamily, NetworkChecks.Result) -> Void) throws {
        // The world outside routes cluster IPs to the first node.
        let node = topology.nodes[0]
        try topology.client.ip([
            "route replace 10.96.0.0/16 via \(node.address)",
            "route replace fd96::/108 via \(node.address6)",
        ])
        let choices = try choices
        var results: [Int: [NetworkChecks.Result]] = [:]
        // What the proxy was started with needs no other one.
        let usual = topology.kind.detection
        let isUsual = { (position: Int) in choices[position]?.flags == usual }
        for position in choices.indices.filter(isUsual) + choices.indices.filter({ !isUsual($0) }) {
            guard let choice = choices[position] else { continue }
            if choice.flags != usual { try cluster.restartProxy(of: node, detection: choice.flags) }
            results[position] = try families.map { family in
                try NetworkChecks(cluster, services, family, mode)
                    .check(choice.showsPod, choice.masqueradesOutside)
            }
        }
        for (position, name) in Self.names.enumerated() {
            for (index, family) in families.enumerated() {
                let result = results[position]?[index]
                    .excused(topology.kind.limit(of: name, family, mode))
                report(name, family, result ?? .left("it does not apply to this network"))
            }
        }
    }

    /// What is tried, in the order of the names; nil does not apply.
    private var choices: [Choice?] {
        get throws {
            let kind = topology.kind
            let device = try Self.podDevice(topology.pods[0])
            let prefix = ["cni", "cali", "veth"].first { device?.hasPrefix($0) ?? false }
            let usual = kind.masqueradesPods ? ["--masquerade-all"] : []
            let interface = { (prefix: String) in
                [
                    "--detect-local-mode", "InterfaceNamePrefix", "--pod-interface-name-prefix",
                    prefix,
                ]
            }
            let right = { (flags: [String]) in
                Choice(flags: usual + flags, showsPod: !kind.masqueradesPods)
            }
            return [
                right(["--cluster-cidr", NetworkKind.clusterCIDRs]),
                right(["--detect-local-mode", "NodeCIDR"]),
                prefix == "cni"
                    ? right([
                        "--detect-local-mode", "BridgeInterface", "--pod-bridge-interface",
                        BridgeWiring.bridge,
                    ]) : nil,
                prefix.map { right(interface($0)) },
                Choice(flags: interface(prefix == "cali" ? "cni" : "cali"), showsPod: false),
                Choice(flags: ["--cluster-cidr", "10.200.0.0/16,fd20::/16"], showsPod: false),
                // Where pods are masqueraded, all is lost with it.
                kind.masqueradesPods
                    ? nil
                    : Choice(
                        flags: ["--cluster-cidr", "0.0.0.0/0,::/0"],
                        showsPod: true,
                        masqueradesOutside: false
                    ),
            ]
        }
    }

    /// Returns the interface by which a pod's node reaches it.
    static func podDevice(_ pod: Topology.Pod) throws -> String? {
        let route = try pod.node.namespace.handle.run(["ip", "-o", "route", "get", pod.address])
        let words = route.split(separator: " ").map(String.init)
        return words.firstIndex(of: "dev").flatMap { words.dropFirst($0 + 1).first }
    }
}

extension NetworkChecks {
    /// Checks what a way of telling pods comes to.
    fileprivate func check(_ showsPod: Bool, _ masqueradesOutside: Bool) throws -> Result {
        let service = services.far[0]
        let target = try clusterIP(service)
        let inside = try expect(
            from: pod.namespace,
            target,
            service.pods,
            showsPod ? [address(pod)] : nodeAddresses
        )
        guard case .passed = inside else { return inside }
        guard !masqueradesOutside else {
            return try expect(from: topology.client, target, service.pods, nodeAddresses)
        }
        let node = topology.nodes[0].namespace
        let connection = try WatchedConnection(
            from: topology.client,
            to: target,
            watching: [node]
        )
        // The node sends it to the endpoint as it came, and nobody translates the answer.
        let isUnchanged = connection.packets.contains { sighting in
            sighting.place == node.name && sighting.isOutgoing && sighting.packet.isFirst
                && sighting.packet.layers.last.map {
                    "\($0.source)" == clientAddress && $0.destination != target.address
                } ?? false
        }
        guard isUnchanged, connection.outcome != .connected else {
            return .failed("\(target) from outside: \(connection.outcome)")
        }
        return .passed
    }
}
