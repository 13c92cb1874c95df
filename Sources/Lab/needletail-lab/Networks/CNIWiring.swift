internal import EmbeddedAPIServer
internal import FoundationEssentials
internal import NetworkNamespaces

/// Pods that the plugins of the CNI project attach, called through the CNI protocol.
///
/// Addresses come from `host-local`, whose first is the one after the gateway's: the pods' addresses
/// are those that the topology expects.
struct CNIWiring: PodWiring {
    static let folder = "/usr/lib/cni"
    static let bridge = "cni0"
    /// The host port of the first pod of each node.
    static let hostPort: UInt16 = 8088
    /// The plugin that attaches the pod: `bridge` or `ptp`.
    let plugin: String
    let directory: String

    func prepare(_ node: Topology.Node) throws {}

    func attach(_ pod: Topology.Pod) throws {
        var result: JSONValue?
        // What one plugin of a chain answers is a part of the next one's input.
        for var configuration in chain(pod) {
            if let result { configuration["prevResult"] = result }
            result = try run(configuration, pod)
        }
    }

    private func chain(_ pod: Topology.Pod) -> [JSONValue] {
        let node = pod.node
        let ipam: JSONValue = [
            "type": "host-local", "dataDir": .string("\(directory)/ipam-\(node.index)"),
            "ranges": [
                [["subnet": .string(node.podCIDR), "gateway": .string(node.podGateway)]],
                [["subnet": .string(node.podCIDR6), "gateway": .string(node.podGateway6)]],
            ],
            "routes": [["dst": "0.0.0.0/0"], ["dst": "::/0"]],
        ]
        let common: [String: JSONValue] = ["cniVersion": "0.4.0", "name": "lab"]
        var first: [String: JSONValue] = ["type": .string(plugin), "ipam": ipam]
        if plugin == "bridge" {
            first["bridge"] = .string(Self.bridge)
            first["isGateway"] = true
            first["hairpinMode"] = true
        }
        var portmap: [String: JSONValue] = [
            "type": "portmap", "capabilities": ["portMappings": true],
        ]
        if pod.index == 1 {
            let mapping: JSONValue = [
                "hostPort": .integer(Int64(Self.hostPort)),
                "containerPort": .integer(Int64(ServiceObjects.podPort)), "protocol": "tcp",
            ]
            portmap["runtimeConfig"] = ["portMappings": [mapping]]
        }
        return [first, portmap].map { .object($0.merging(common) { own, _ in own }) }
    }

    /// Calls a plugin, and returns its result.
    private func run(_ configuration: JSONValue, _ pod: Topology.Pod) throws -> JSONValue {
        let input = String(decoding: try JSONEncoder().encode(configuration), as: UTF8.self)
        guard let type = configuration["type"].string else {
            throw LabError("a CNI configuration names no plugin")
        }
        let output = try pod.node.namespace.handle.run(
            [
                "env", "CNI_COMMAND=ADD", "CNI_CONTAINERID=\(pod.name)", "CNI_IFNAME=eth0",
                "CNI_NETNS=/run/netns/\(pod.namespace.name)", "CNI_PATH=\(Self.folder)",
                "\(Self.folder)/\(type)",
            ],
            input: input
        )
        return try JSONDecoder().decode(JSONValue.self, from: Data(output.utf8))
    }
}
