package import NetworkTypes

/// The parts of a discovery.k8s.io/v1 EndpointSlice that a node proxy needs.
package struct EndpointSlice: Sendable, Hashable {
    package var name: ObjectName
    /// The Service that the slice belongs to, from the label `serviceLabel`.
    ///
    /// Nil without that label, and for a slice with `headlessLabel`.
    package var service: ObjectName?
    /// The address family; nil for address type FQDN, which a node proxy ignores.
    package var family: IPFamily?
    package var ports: [EndpointPort] = []
    package var endpoints: [SliceEndpoint] = []
    /// The time of the change that the slice reports, in milliseconds since 1970; 0 if unknown.
    ///
    /// It comes from the annotation `endpoints.kubernetes.io/last-change-trigger-time`.
    package var changedAt: Int64 = 0
    package var problems: [FieldProblem] = []

    package init(name: ObjectName, service: ObjectName?, family: IPFamily?) {
        self.name = name
        self.service = service
        self.family = family
    }

    /// The label whose value is the Service's name.
    package static let serviceLabel = "kubernetes.io/service-name"

    /// The label, with any value, of EndpointSlices and Endpoints that a proxy must ignore.
    ///
    /// kube-proxy looks for this label on these kinds and not on Services
    /// (`cmd/kube-proxy/app/server.go`).
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
    /// The first address of the endpoint; the API says that a proxy ignores any others.
    package var address: IPAddress
    /// Whether the endpoint is ready.
    ///
    /// Absent conditions are already resolved: ready and serving are true, terminating is false
    /// (`pkg/proxy/endpointslicecache.go`).
    package var isReady: Bool
    package var isServing: Bool
    package var isTerminating: Bool
    private var sharedPlace: Shared<EndpointPlace>

    package init(
        address: IPAddress,
        isReady: Bool = true,
        isServing: Bool = true,
        isTerminating: Bool = false,
        place: EndpointPlace = EndpointPlace()
    ) {
        self.address = address
        self.isReady = isReady
        self.isServing = isServing
        self.isTerminating = isTerminating
        sharedPlace = Shared(place)
    }

    package var place: EndpointPlace {
        get { sharedPlace.value }
        set { sharedPlace = Shared(newValue) }
    }

    mutating func share(_ pool: inout SharingPool) { pool.share(&sharedPlace) }
}

/// Where an endpoint runs, and whom it is for; many endpoints have the same.
package struct EndpointPlace: Sendable, Hashable {
    package var nodeName: String?
    /// The zone of that node.
    package var zone: String?
    package var zoneHints: [String]
    package var nodeHints: [String]

    package init(
        nodeName: String? = nil,
        zone: String? = nil,
        zoneHints: [String] = [],
        nodeHints: [String] = []
    ) {
        (self.nodeName, self.zone) = (nodeName, zone)
        (self.zoneHints, self.nodeHints) = (zoneHints, nodeHints)
    }
}
