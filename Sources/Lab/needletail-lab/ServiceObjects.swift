internal import EmbeddedAPIServer
internal import NetworkTypes

/// The objects of Services and their endpoints, as users and controllers write them.
enum ServiceObjects {
    static let namespace = "shop"
    static let podPort: UInt16 = 8080
    static let podUDPPort: UInt16 = 5353
    static let podBulkPort: UInt16 = 8090

    static func service(_ name: String, _ spec: JSONValue) -> JSONValue {
        [
            "apiVersion": "v1", "kind": "Service", "spec": spec,
            "metadata": ["name": .string(name), "namespace": .string(namespace)],
        ]
    }

    /// Returns the EndpointSlices `NAME-4` and `NAME-6` of a Service.
    static func slices(
        _ name: String,
        _ pods: [Topology.Pod],
        namespace: String = namespace,
        ports: JSONValue = everyEndpointPort,
        _ families: [IPFamily] = [.ipv4, .ipv6]
    ) -> [JSONValue] {
        families.map { family in
            let isIPv4 = family == .ipv4
            return [
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": [
                    "name": .string("\(name)-\(isIPv4 ? 4 : 6)"), "namespace": .string(namespace),
                    "labels": ["kubernetes.io/service-name": .string(name)],
                ],
                "addressType": .string("\(family)"),
                "ports": ports,
                "endpoints": .array(
                    pods.map { endpoint($0, isIPv4 ? $0.address : $0.address6) }
                ),
            ]
        }
    }

    /// The ports on which every pod answers.
    private static let everyEndpointPort: JSONValue = [
        ["name": "http", "port": .integer(Int64(podPort))],
        ["name": "dns", "protocol": "UDP", "port": .integer(Int64(podUDPPort))],
        ["name": "bulk", "port": .integer(Int64(podBulkPort))],
    ]

    /// Returns the port of endpoints for a port of a Service.
    static func endpointPort(_ port: JSONValue) -> JSONValue {
        let usual = port["protocol"] == "UDP" ? podUDPPort : podPort
        return [
            "name": .string(port["name"].string ?? ""),
            "protocol": .string(port["protocol"].string ?? "TCP"),
            "port": .integer(port["targetPort"].integer ?? Int64(usual)),
        ]
    }

    /// Returns the status that a load balancer's controller writes to a Service.
    static func status(loadBalancerIP: String) -> JSONValue {
        ["status": ["loadBalancer": ["ingress": [["ip": .string(loadBalancerIP)]]]]]
    }

    static func slicePath(_ name: String) -> String {
        "/apis/discovery.k8s.io/v1/namespaces/\(namespace)/endpointslices/\(name)"
    }

    /// Returns the ports of a Service on which every pod answers.
    ///
    /// - Parameter nodePort: the first of the three node ports
    static func ports(nodePort: UInt16) -> JSONValue {
        let entries: [(String, String, Int64, UInt16)] = [
            ("http", "TCP", 80, podPort), ("dns", "UDP", 53, podUDPPort),
            ("bulk", "TCP", 90, podBulkPort),
        ]
        return .array(
            entries.enumerated().map { index, entry in
                [
                    "name": .string(entry.0), "protocol": .string(entry.1),
                    "port": .integer(entry.2), "targetPort": .integer(Int64(entry.3)),
                    "nodePort": .integer(Int64(nodePort) + Int64(index)),
                ]
            }
        )
    }

    static func endpoint(_ pod: Topology.Pod, _ address: String) -> JSONValue {
        [
            "addresses": [.string(address)], "nodeName": .string(pod.node.name),
            "targetRef": ["kind": "Pod", "name": .string(pod.name)],
        ]
    }
}
