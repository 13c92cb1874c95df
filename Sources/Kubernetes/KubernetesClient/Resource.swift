package import KubernetesModel

/// A kind of object that the API server lists and watches.
package protocol Resource: KubernetesResource {
    static var kind: String { get }
    /// The path of the collection, such as `/api/v1/services`.
    static var path: String { get }
    static var isNamespaced: Bool { get }
    /// The label selector that spares the API server unneeded objects; empty for all objects.
    static var labelSelector: String { get }
    static func fieldSelector(nodeName: String) -> String
    /// Whether the field selector may be left out, which only means that more objects arrive.
    static var hasOptionalFieldSelector: Bool { get }
}

extension Resource {
    package static var isNamespaced: Bool { true }
    package static var labelSelector: String { "" }
    package static func fieldSelector(nodeName: String) -> String { "" }
    package static var hasOptionalFieldSelector: Bool { false }
}

extension Service: Resource {
    package static var kind: String { "Service" }
    package static var path: String { "/api/v1/services" }
    package static var labelSelector: String { "!\(otherProxyLabel)" }
    package static func fieldSelector(nodeName: String) -> String { "spec.clusterIP!=None" }
    package static var hasOptionalFieldSelector: Bool { true }
}

extension EndpointSlice: Resource {
    package static var kind: String { "EndpointSlice" }
    package static var path: String { "/apis/discovery.k8s.io/v1/endpointslices" }
    package static var labelSelector: String { "!\(headlessLabel)" }
}

extension Endpoints: Resource {
    package static var kind: String { "Endpoints" }
    package static var path: String { "/api/v1/endpoints" }
    package static var labelSelector: String { "!\(EndpointSlice.headlessLabel)" }
}

extension Node: Resource {
    package static var kind: String { "Node" }
    package static var path: String { "/api/v1/nodes" }
    package static var isNamespaced: Bool { false }
    package static func fieldSelector(nodeName: String) -> String { "metadata.name=\(nodeName)" }
}

extension ServiceCIDR: Resource {
    package static var kind: String { "ServiceCIDR" }
    package static var path: String { "/apis/networking.k8s.io/v1/servicecidrs" }
    package static var isNamespaced: Bool { false }
}
