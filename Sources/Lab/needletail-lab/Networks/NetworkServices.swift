internal import EmbeddedAPIServer
internal import NetworkTypes

/// The Services by which a network is checked.
struct NetworkServices {
    struct Entry {
        let name: String
        /// The last part of all its addresses.
        let number: Int
        let pods: [Topology.Pod]
        var spec: [String: JSONValue] = [:]

        var nodePort: UInt16 { UInt16(30_000 + 10 * number) }
        var loadBalancerIP: String { "203.0.113.\(number)" }

        func clusterIP(_ family: IPFamily) -> String {
            (family == .ipv4 ? "10.96.1." : "fd96::1:") + "\(number)"
        }
    }

    /// All pods, external traffic policy Cluster.
    let all: Entry
    /// All pods, external traffic policy Local.
    let local: Entry
    /// All pods, with session affinity.
    let sticky: Entry
    /// The client pod itself.
    let own: Entry
    /// Another pod of the client pod's node.
    let near: Entry
    /// A pod of another node, external traffic policy Local.
    let farLocal: Entry
    /// A pod of each other node.
    let far: [Entry]
    /// The ingress, if the cluster has one: external traffic policies Cluster and Local.
    let ingress: (all: Entry, local: Entry)?

    init(_ topology: Topology) {
        let pods = topology.pods
        let own = pods[0]
        all = Entry(name: "all", number: 11, pods: pods)
        local = Entry(
            name: "local",
            number: 12,
            pods: pods,
            spec: ["externalTrafficPolicy": "Local"]
        )
        sticky = Entry(
            name: "sticky",
            number: 13,
            pods: pods,
            spec: ["sessionAffinity": "ClientIP"]
        )
        self.own = Entry(name: "own", number: 14, pods: [own])
        near = Entry(
            name: "near",
            number: 15,
            pods: Array(pods.dropFirst().filter { $0.node.index == own.node.index }.prefix(1))
        )
        farLocal = Entry(
            name: "far-local",
            number: 16,
            pods: Array(pods.filter { $0.node.index != own.node.index }.prefix(1)),
            spec: ["externalTrafficPolicy": "Local"]
        )
        far = topology.nodes.dropFirst().enumerated().map { position, node in
            Entry(
                name: "far-\(node.index)",
                number: 20 + position,
                pods: Array(pods.filter { $0.node.index == node.index }.prefix(1))
            )
        }
        ingress = topology.ingress.map { pod in
            (
                Entry(name: "ingress", number: 17, pods: [pod]),
                Entry(
                    name: "ingress-local",
                    number: 18,
                    pods: [pod],
                    spec: ["externalTrafficPolicy": "Local"]
                )
            )
        }
    }

    private var entries: [Entry] {
        [all, local, sticky, own, near, farLocal] + far
            + (ingress.map { [$0.all, $0.local] } ?? [])
    }

    var objects: [JSONValue] {
        entries.flatMap { entry -> [JSONValue] in
            var spec: [String: JSONValue] = [
                "type": "LoadBalancer", "clusterIP": .string(entry.clusterIP(.ipv4)),
                "clusterIPs": [
                    .string(entry.clusterIP(.ipv4)), .string(entry.clusterIP(.ipv6)),
                ],
                "ports": ServiceObjects.ports(nodePort: entry.nodePort),
            ]
            spec.merge(entry.spec) { $1 }
            return [ServiceObjects.service(entry.name, .object(spec))]
                + ServiceObjects.slices(entry.name, entry.pods)
        }
    }

    var loadBalancers: [String: String] {
        Dictionary(uniqueKeysWithValues: entries.map { ($0.name, $0.loadBalancerIP) })
    }
}
