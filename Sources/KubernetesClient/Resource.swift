package import KubernetesModel

/// A kind of objects that the API server lists and watches.
package protocol Resource: KubernetesResource {
    static var kind: String { get }
    /// `/api/v1/services`
    static var path: String { get }
    /// What the API server need not send; empty for everything.
    static var labelSelector: String { get }
    static func fieldSelector(nodeName: String) -> String
    /// Without the field selector more comes, and nothing goes wrong.
    static var hasOptionalFieldSelector: Bool { get }
}

extension Resource {
    package static var labelSelector: String { "" }
    package static func fieldSelector(nodeName: String) -> String { "" }
    package static var hasOptionalFieldSelector: Bool { false }

    /// kube-proxy's, for Services and what belongs to them (`cmd/kube-proxy/app/server.go`).
    fileprivate static var proxySelector: String {
        "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name"
    }
}

extension Service: Resource {
    package static var kind: String { "Service" }
    package static var path: String { "/api/v1/services" }
    package static var labelSelector: String { proxySelector }
    package static func fieldSelector(nodeName: String) -> String { "spec.clusterIP!=None" }
    package static var hasOptionalFieldSelector: Bool { true }
}

extension EndpointSlice: Resource {
    package static var kind: String { "EndpointSlice" }
    package static var path: String { "/apis/discovery.k8s.io/v1/endpointslices" }
    package static var labelSelector: String { proxySelector }
}

extension Endpoints: Resource {
    package static var kind: String { "Endpoints" }
    package static var path: String { "/api/v1/endpoints" }
    package static var labelSelector: String { proxySelector }
}

extension Node: Resource {
    package static var kind: String { "Node" }
    package static var path: String { "/api/v1/nodes" }
    package static func fieldSelector(nodeName: String) -> String { "metadata.name=\(nodeName)" }
}

extension ServiceCIDR: Resource {
    package static var kind: String { "ServiceCIDR" }
    package static var path: String { "/apis/networking.k8s.io/v1/servicecidrs" }
}
