package import KubernetesModel

/// A kind of objects that the API server lists and watches.
package protocol Resource: Decodable, Sendable {
    /// `/api/v1/services`
    static var path: String { get }
    /// What the API server need not send, in the query's syntax; may be empty.
    static func query(nodeName: String) -> String
}

extension Service: Resource {
    package static var path: String { "/api/v1/services" }
    /// Headless Services and those of other proxies; the compiler leaves them alone as well.
    package static func query(nodeName: String) -> String {
        "labelSelector=%21service.kubernetes.io%2Fservice-proxy-name&fieldSelector=spec.clusterIP%21%3DNone"
    }
}

extension EndpointSlice: Resource {
    package static var path: String { "/apis/discovery.k8s.io/v1/endpointslices" }
    package static func query(nodeName: String) -> String {
        "labelSelector=%21service.kubernetes.io%2Fheadless"
    }
}

extension Node: Resource {
    package static var path: String { "/api/v1/nodes" }
    package static func query(nodeName: String) -> String {
        "fieldSelector=metadata.name%3D\(nodeName)"
    }
}

extension ServiceCIDR: Resource {
    package static var path: String { "/apis/networking.k8s.io/v1/servicecidrs" }
    package static func query(nodeName: String) -> String { "" }
}
