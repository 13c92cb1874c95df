internal import EmbeddedAPIServer

/// The objects of the demonstration.
struct SampleServices {
    static let namespace = "shop"
    static let clusterIP = "10.96.0.10"
    static let clusterIP6 = "fd96::10"
    static let loadBalancerIP = "203.0.113.10"
    static let nodePort: UInt16 = 30080
    static let podPort: UInt16 = 8080
    static let podUDPPort: UInt16 = 5353
    /// The cluster IP of a Service without endpoints, which must refuse connections at once.
    static let emptyIP = "10.96.0.11"

    private let pods: [Topology.Pod]

    init(pods: [Topology.Pod]) { self.pods = pods }

    /// The objects in the order of creation, without status.
    var objects: [JSONValue] {
        [
            [
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": ["name": .string(Self.namespace)],
            ],
            web, slice("web-4", "IPv4", \.address), slice("web-6", "IPv6", \.address6),
            service("empty", ["clusterIP": .string(Self.emptyIP), "ports": [["port": 80]]]),
        ]
    }

    /// The status that a load balancer's controller writes to the Service.
    static var loadBalancerStatus: JSONValue {
        ["status": ["loadBalancer": ["ingress": [["ip": .string(loadBalancerIP)]]]]]
    }

    private var web: JSONValue {
        service(
            "web",
            [
                "type": "LoadBalancer", "clusterIP": .string(Self.clusterIP),
                "clusterIPs": [.string(Self.clusterIP), .string(Self.clusterIP6)],
                "externalTrafficPolicy": "Local",
                "ports": [
                    [
                        "name": "http", "port": 80, "targetPort": .integer(Int64(Self.podPort)),
                        "nodePort": .integer(Int64(Self.nodePort)),
                    ],
                    [
                        "name": "dns", "protocol": "UDP", "port": 53,
                        "targetPort": .integer(Int64(Self.podUDPPort)),
                    ],
                ],
            ]
        )
    }

    private func service(_ name: String, _ spec: JSONValue) -> JSONValue {
        [
            "apiVersion": "v1", "kind": "Service", "spec": spec,
            "metadata": ["name": .string(name), "namespace": .string(Self.namespace)],
        ]
    }

    private func slice(
        _ name: String,
        _ type: String,
        _ address: (Topology.Pod) -> String
    ) -> JSONValue {
        [
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": [
                "name": .string(name), "namespace": .string(Self.namespace),
                "labels": ["kubernetes.io/service-name": "web"],
            ],
            "addressType": .string(type),
            "ports": [
                ["name": "http", "port": .integer(Int64(Self.podPort))],
                ["name": "dns", "protocol": "UDP", "port": .integer(Int64(Self.podUDPPort))],
            ],
            "endpoints": .array(
                pods.map {
                    [
                        "addresses": [.string(address($0))], "nodeName": .string($0.node.name),
                        "targetRef": ["kind": "Pod", "name": .string($0.name)],
                    ]
                }
            ),
        ]
    }
}
