package import NetworkTypes

/// The parts of a core/v1 Service that a node proxy needs.
///
/// Values that cannot be used (an invalid address, port 70000) are left out and listed in
/// `problems`.
package struct Service: Sendable, Hashable {
    package var name: ObjectName
    /// The UID; nil without one, as in a manifest.
    package var uid: ObjectUID?
    /// The creation time in seconds since 1970; nil without a creationTimestamp, as in a manifest.
    package var createdAt: Int64?
    /// Whether another proxy serves this Service (`otherProxyLabel`).
    package var belongsToOtherProxy = false
    package var type = ServiceType.clusterIP
    /// The addresses of `spec.clusterIPs`, or of `spec.clusterIP` in older objects; empty for a
    /// headless Service.
    package var clusterIPs: [IPAddress] = []
    package var ports: [ServicePort] = []
    package var externalIPs: [IPAddress] = []
    /// The ingress IPs of the load balancer whose ipMode is VIP (the default).
    package var loadBalancerVIPs: [IPAddress] = []
    /// The clients that may connect to the load balancer's address; nil allows everyone.
    ///
    /// The list is empty if ranges were given but none of them could be read.
    package var loadBalancerSourceRanges: [IPPrefix]?
    /// The time in seconds for which a client keeps its endpoint; nil without ClientIP affinity.
    package var affinityTimeout: UInt32?
    package var internalTrafficPolicy = TrafficPolicy.cluster
    package var externalTrafficPolicy = TrafficPolicy.cluster
    /// The port on which load balancers ask whether this node has endpoints; nil if they do not
    /// ask.
    package var healthCheckNodePort: UInt16?
    /// The values of the annotations `ipvs.needletail.io/scheduler` and
    /// `ipvs.needletail.io/weights`.
    package var balancing = Balancing()
    package var problems: [FieldProblem] = []

    package init(name: ObjectName) { self.name = name }

    /// The label, with any value, of a Service that belongs to another proxy.
    package static let otherProxyLabel = "service.kubernetes.io/service-proxy-name"
}

package enum ServiceType: String, Sendable, Hashable {
    case clusterIP = "ClusterIP"
    case nodePort = "NodePort"
    case loadBalancer = "LoadBalancer"
    case externalName = "ExternalName"
}

package enum TrafficPolicy: String, Sendable, Hashable {
    case cluster = "Cluster"
    case local = "Local"
}

package struct ServicePort: Sendable, Hashable {
    package var name: String
    package var transport: TransportProtocol
    package var port: UInt16
    package var nodePort: UInt16?

    package init(
        name: String,
        transport: TransportProtocol,
        port: UInt16,
        nodePort: UInt16? = nil
    ) {
        self.name = name
        self.transport = transport
        self.port = port
        self.nodePort = nodePort
    }
}

extension Service {
    /// Whether clients outside the cluster can reach the Service: `ExternallyAccessible` of
    /// Kubernetes' `pkg/api/v1/service/util.go`.
    package var isExternallyAccessible: Bool {
        type == .nodePort || type == .loadBalancer || !externalIPs.isEmpty
    }
}
