package import NetworkTypes

/// What a node proxy needs of a core/v1 Service.
///
/// Values that cannot be used (an address that is none, port 70000) are left out and listed in
/// `problems`.
package struct Service: Sendable, Hashable {
    package var name: ObjectName
    /// Seconds since 1970; nil if the object has no creationTimestamp, as in a manifest.
    package var createdAt: Int64?
    /// Another proxy serves it: `otherProxyLabel`.
    package var belongsToOtherProxy = false
    package var type = ServiceType.clusterIP
    /// `spec.clusterIPs`, or `spec.clusterIP` of older objects; empty for a headless Service.
    package var clusterIPs: [IPAddress] = []
    package var ports: [ServicePort] = []
    package var externalIPs: [IPAddress] = []
    /// Ingress IPs of the load balancer whose ipMode is VIP (the default).
    package var loadBalancerVIPs: [IPAddress] = []
    /// Nil: everyone may connect.
    ///
    /// Empty: ranges were given, and none could be read.
    package var loadBalancerSourceRanges: [IPPrefix]?
    /// Seconds for which a client stays with its endpoint; nil without ClientIP affinity.
    package var affinityTimeout: UInt32?
    package var internalTrafficPolicy = TrafficPolicy.cluster
    package var externalTrafficPolicy = TrafficPolicy.cluster
    /// Where load balancers ask whether this node has endpoints; nil: they do not.
    package var healthCheckNodePort: UInt16?
    /// Annotations `ipvs.needletail.io/scheduler` and `…/weights`.
    package var balancing = Balancing()
    package var problems: [FieldProblem] = []

    package init(name: ObjectName) { self.name = name }

    /// A Service with it belongs to another proxy, whatever its value.
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
    /// Whether the address can be reached from outside: `ExternallyAccessible` of Kubernetes'
    /// `pkg/api/v1/service/util.go`.
    package var isExternallyAccessible: Bool {
        type == .nodePort || type == .loadBalancer || !externalIPs.isEmpty
    }
}
