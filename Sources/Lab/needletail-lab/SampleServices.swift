internal import EmbeddedAPIServer

/// The objects of the demonstration.
struct SampleServices {
    static let clusterIP = "10.96.0.10"
    static let clusterIP6 = "fd96::10"
    static let loadBalancerIP = "203.0.113.10"
    static let nodePort: UInt16 = 30080
    /// The cluster IP of a Service without endpoints, which must refuse connections at once.
    static let emptyIP = "10.96.0.11"

    private let pods: [Topology.Pod]

    init(pods: [Topology.Pod]) { self.pods = pods }

    /// The objects in the order of creation, without status.
    var objects: [JSONValue] {
        [web] + ServiceObjects.slices("web", pods) + [
            ServiceObjects.service(
                "empty",
                ["clusterIP": .string(Self.emptyIP), "ports": [["port": 80]]]
            )
        ]
    }

    /// The addresses that load balancers have, by the Services' names.
    static let loadBalancers = ["web": loadBalancerIP]

    private var web: JSONValue {
        ServiceObjects.service(
            "web",
            [
                "type": "LoadBalancer", "clusterIP": .string(Self.clusterIP),
                "clusterIPs": [.string(Self.clusterIP), .string(Self.clusterIP6)],
                "externalTrafficPolicy": "Local",
                "ports": ServiceObjects.ports(nodePort: Self.nodePort),
            ]
        )
    }
}
