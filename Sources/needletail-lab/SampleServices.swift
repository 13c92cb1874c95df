/// The objects of the demonstration.
struct SampleServices {
    static let clusterIP = "10.96.0.10"
    static let clusterIP6 = "fd96::10"
    static let loadBalancerIP = "203.0.113.10"
    static let nodePort: UInt16 = 30080
    static let podPort: UInt16 = 8080
    static let podUDPPort: UInt16 = 5353

    private let pods: [Topology.Pod]

    /// - Parameter pods: those that are ready
    init(pods: [Topology.Pod]) { self.pods = pods }

    /// A multi-document manifest as a user would write it.
    var yaml: String {
        [
            service, slice("web-4", "IPv4", pods, \.address),
            slice("web-6", "IPv6", pods, \.address6), Self.empty,
        ]
        .joined(separator: "---\n")
    }

    private var service: String {
        """
        apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: shop}
        spec:
          type: LoadBalancer
          clusterIP: \(Self.clusterIP)
          clusterIPs: [\(Self.clusterIP), "\(Self.clusterIP6)"]
          externalTrafficPolicy: Local
          ports:
          - {name: http, port: 80, targetPort: \(Self.podPort), nodePort: \(Self.nodePort)}
          - {name: dns, protocol: UDP, port: 53, targetPort: \(Self.podUDPPort)}
        status:
          loadBalancer:
            ingress: [{ip: \(Self.loadBalancerIP)}]

        """
    }

    /// A Service that has no endpoints and must refuse at once.
    static let emptyIP = "10.96.0.11"
    private static let empty = """
        apiVersion: v1
        kind: Service
        metadata: {name: empty, namespace: shop}
        spec:
          clusterIP: \(emptyIP)
          ports: [{port: 80}]

        """

    private func slice(
        _ name: String,
        _ type: String,
        _ pods: [Topology.Pod],
        _ address: (Topology.Pod) -> String
    ) -> String {
        let endpoints = pods.map {
            "- {addresses: [\"\(address($0))\"], nodeName: \($0.node.name)}\n"
        }
        return """
            apiVersion: discovery.k8s.io/v1
            kind: EndpointSlice
            metadata:
              name: \(name)
              namespace: shop
              labels: {kubernetes.io/service-name: web}
            addressType: \(type)
            ports:
            - {name: http, protocol: TCP, port: \(Self.podPort)}
            - {name: dns, protocol: UDP, port: \(Self.podUDPPort)}
            endpoints:
            \(endpoints.joined())
            """
    }
}
