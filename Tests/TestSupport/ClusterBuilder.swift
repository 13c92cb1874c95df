package import KubernetesModel
package import NetworkTypes
package import PlanCompiler
package import ServicePlan

/// Returns an address from a literal in a test.
package func ip(_ text: String) -> IPAddress {
    guard let address = IPAddress(text) else { preconditionFailure("\(text) is no address") }
    return address
}

package func prefix(_ text: String) -> IPPrefix {
    guard let prefix = IPPrefix(text) else { preconditionFailure("\(text) is no prefix") }
    return prefix
}

/// Builds a Service and its slices for a test.
package struct ClusterBuilder {
    package var service: Service
    package var slices: [EndpointSlice] = []
    package var node = NodeView(
        name: "here",
        zone: "zone-a",
        nodePortAddresses: [ip("192.0.2.1")],
        primaryAddresses: [ip("192.0.2.1")]
    )

    /// Makes the Service `default/web` with TCP port 80, named http.
    package init(_ name: String = "web", clusterIP: String = "10.96.0.10") {
        service = Service(name: ObjectName(namespace: "default", name: name))
        service.clusterIPs = [ip(clusterIP)]
        service.ports = [ServicePort(name: "http", transport: .tcp, port: 80)]
    }

    package func with(_ change: (inout ClusterBuilder) -> Void) -> ClusterBuilder {
        var copy = self
        change(&copy)
        return copy
    }

    /// Adds a slice with one port 8080 named http.
    package mutating func add(
        _ endpoints: SliceEndpoint...,
        family: IPFamily = .ipv4,
        port: UInt16 = 8080,
        portName: String = "http",
        transport: TransportProtocol = .tcp
    ) {
        var slice = EndpointSlice(
            name: ObjectName(namespace: "default", name: "web-\(slices.count)"),
            service: service.name,
            family: family
        )
        slice.ports = [EndpointPort(name: portName, transport: transport, port: port)]
        slice.endpoints = endpoints
        slices.append(slice)
    }

    package func compile() -> (plan: ServicePlan?, diagnostics: [Diagnostic]) {
        PlanCompiler(node: node).compile(service, slices)
    }

    /// Returns the plan's lines without the first, which names the Service.
    package func lines() -> [String] {
        (compile().plan?.text ?? "").split(separator: "\n").dropFirst().map {
            $0.dropFirst(2).description
        }
    }
}

/// Returns an endpoint on the named node, or on an unknown one.
package func endpoint(
    _ address: String,
    on nodeName: String? = "there",
    ready: Bool = true,
    serving: Bool = true,
    terminating: Bool = false,
    zones: [String] = [],
    nodes: [String] = []
) -> SliceEndpoint {
    SliceEndpoint(
        address: ip(address),
        isReady: ready,
        isServing: serving,
        isTerminating: terminating,
        place: EndpointPlace(nodeName: nodeName, zoneHints: zones, nodeHints: nodes)
    )
}
