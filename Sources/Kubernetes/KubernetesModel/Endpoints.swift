package import KubernetesWire
internal import NetworkTypes

/// The parts of a core/v1 Endpoints that a node proxy needs; EndpointSlices replaced this kind.
///
/// Each subset becomes one EndpointSlice per address family, as the EndpointSliceMirroring
/// controller would write them.
package struct Endpoints: Sendable, Hashable {
    /// The name of the object, and of its Service.
    package var name: ObjectName
    /// The slices, named after their subsets; no object of the API can have such a name.
    package var slices: [EndpointSlice] = []

    package init(name: ObjectName) { self.name = name }
}

extension Endpoints: KubernetesResource {
    package init(_ wire: WireEndpoints) throws(FieldProblem) {
        self.init(name: try ObjectName(wire.metadata))
        guard wire.metadata.label(EndpointSlice.headlessLabel) == nil else { return }
        for (index, subset) in wire.subsets.enumerated() {
            slices += Self.slices(of: subset, "subsets[\(index)]", name)
        }
    }

    private static func slices(
        of subset: WireEndpointSubset,
        _ path: String,
        _ service: ObjectName
    ) -> [EndpointSlice] {
        var reader = FieldReader()
        let ports: [EndpointPort] = subset.ports.compactMapIndexed { index, item in
            let transport = reader.transport(item.protocol, "\(path).ports[\(index)].protocol")
            let port = reader.port(item.port, "\(path).ports[\(index)].port")
            let name = reader.name(item.name, "\(path).ports[\(index)].name")
            guard let transport, let port, let name else { return nil }
            return EndpointPort(name: name, transport: transport, port: port)
        }
        let endpoints =
            read(subset.addresses, isReady: true, "\(path).addresses", &reader)
            + read(subset.notReadyAddresses, isReady: false, "\(path).notReadyAddresses", &reader)
        let slices = IPFamily.allCases.compactMap { family in
            let members = endpoints.filter { $0.address.family == family }
            guard !members.isEmpty else { return EndpointSlice?.none }
            var slice = EndpointSlice(
                name: ObjectName(
                    namespace: service.namespace,
                    name: "\(service.name)/\(path)/\(family)"
                ),
                service: service,
                family: family
            )
            (slice.ports, slice.endpoints) = (ports, members)
            return slice
        }
        return slices.enumerated().map { index, slice in
            var slice = slice
            // Each problem is reported once, not in every slice.
            if index == 0 { slice.problems = reader.problems }
            return slice
        }
    }

    private static func read(
        _ list: [WireEndpointAddress],
        isReady: Bool,
        _ path: String,
        _ reader: inout FieldReader
    ) -> [SliceEndpoint] {
        list.compactMapIndexed { index, item in
            guard let address = reader.address(item.ip, "\(path)[\(index)].ip") else { return nil }
            if let reason = address.reasonNotForServices {
                reader.report("\(path)[\(index)].ip", "\(item.ip.text) \(reason)")
                return nil
            }
            return SliceEndpoint(
                address: address,
                isReady: isReady,
                isServing: isReady,
                place: EndpointPlace(nodeName: item.nodeName.isEmpty ? nil : item.nodeName.text)
            )
        }
    }
}
