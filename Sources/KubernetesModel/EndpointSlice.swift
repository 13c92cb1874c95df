package import NetworkTypes

/// What a node proxy needs of a discovery.k8s.io/v1 EndpointSlice.
package struct EndpointSlice: Sendable, Hashable {
    package var name: ObjectName
    /// The Service it belongs to: label `kubernetes.io/service-name`; nil, too, with `headlessLabel`.
    package var service: ObjectName?
    /// Nil for address type FQDN, which a node proxy leaves alone.
    package var family: IPFamily?
    package var ports: [EndpointPort] = []
    package var endpoints: [SliceEndpoint] = []
    /// When what it tells of has happened, in milliseconds since 1970; 0: unknown.
    ///
    /// Annotation `endpoints.kubernetes.io/last-change-trigger-time`.
    package var changedAt: Int64 = 0
    package var problems: [FieldProblem] = []

    package init(name: ObjectName, service: ObjectName?, family: IPFamily?) {
        self.name = name
        self.service = service
        self.family = family
    }

    /// A slice with it, or an Endpoints, is nobody's but its Service's clients', whatever its value.
    ///
    /// kube-proxy looks for it here and not at Services (`cmd/kube-proxy/app/server.go`).
    package static let headlessLabel = "service.kubernetes.io/headless"
}

package struct EndpointPort: Sendable, Hashable {
    package var name: String
    package var transport: TransportProtocol
    package var port: UInt16

    package init(name: String, transport: TransportProtocol, port: UInt16) {
        self.name = name
        self.transport = transport
        self.port = port
    }
}

package struct SliceEndpoint: Sendable, Hashable {
    /// The first address; the API says that the others mean nothing to a proxy.
    package var address: IPAddress
    /// Absent conditions are already resolved: ready and serving are true, terminating is false
    /// (`pkg/proxy/endpointslicecache.go`).
    package var isReady: Bool
    package var isServing: Bool
    package var isTerminating: Bool
    package var nodeName: String?
    package var zoneHints: [String]
    package var nodeHints: [String]

    package init(
        address: IPAddress,
        isReady: Bool = true,
        isServing: Bool = true,
        isTerminating: Bool = false,
        nodeName: String? = nil,
        zoneHints: [String] = [],
        nodeHints: [String] = []
    ) {
        self.address = address
        self.isReady = isReady
        self.isServing = isServing
        self.isTerminating = isTerminating
        self.nodeName = nodeName
        self.zoneHints = zoneHints
        self.nodeHints = nodeHints
    }
}
