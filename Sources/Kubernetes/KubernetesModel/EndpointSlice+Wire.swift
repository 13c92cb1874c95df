package import KubernetesWire
internal import NetworkTypes

extension EndpointSlice: KubernetesResource {
    package init(_ wire: WireEndpointSlice) throws(FieldProblem) {
        let name = try ObjectName(wire.metadata)
        var reader = FieldReader()
        let family: IPFamily?
        switch wire.addressType.text {
        case "IPv4": family = .ipv4
        case "IPv6": family = .ipv6
        case "FQDN": family = nil
        default:
            family = nil
            reader.report("addressType", "\"\(wire.addressType.text)\" is not IPv4, IPv6 or FQDN")
        }
        let isHeadless = wire.metadata.label(Self.headlessLabel) != nil
        let label = isHeadless ? nil : wire.metadata.label(Self.serviceLabel)
        let owner = label.flatMap {
            reader.name($0, "metadata.labels[\(Self.serviceLabel)]")
        }
        self.init(
            name: name,
            service: owner.flatMap {
                $0.isEmpty ? nil : ObjectName(namespace: name.namespace, name: $0)
            },
            family: family
        )
        if let text = wire.metadata.annotation(Self.changeTimeAnnotation) {
            changedAt = millisecondsSince1970(text.text) ?? 0
        }
        if let family {
            readPorts(wire.ports, &reader)
            endpoints = wire.endpoints.compactMapIndexed { index, endpoint in
                SliceEndpoint(endpoint, family, index, &reader)
            }
        }
        problems = reader.problems
    }

    private static let changeTimeAnnotation = "endpoints.kubernetes.io/last-change-trigger-time"

    package mutating func share(_ pool: inout SharingPool) {
        pool.share(&ports)
        for index in endpoints.indices { endpoints[index].share(&pool) }
    }

    private mutating func readPorts(_ list: [WireEndpointPort], _ reader: inout FieldReader) {
        ports = list.compactMapIndexed { index, item in
            // A port without a number means "all ports", which no Service can use.
            guard item.hasPort else { return nil }
            let transport = reader.transport(item.protocol, "ports[\(index)].protocol")
            let port = reader.port(item.port, "ports[\(index)].port")
            let name = reader.name(item.name, "ports[\(index)].name")
            guard let transport, let port, let name else { return nil }
            return EndpointPort(name: name, transport: transport, port: port)
        }
    }
}

extension SliceEndpoint {
    fileprivate init?(
        _ wire: WireEndpoint,
        _ family: IPFamily,
        _ index: Int,
        _ reader: inout FieldReader
    ) {
        guard let text = wire.addresses.first else {
            reader.report("endpoints[\(index)].addresses", "is empty")
            return nil
        }
        guard let address = reader.address(text, "endpoints[\(index)].addresses[0]") else {
            return nil
        }
        let reason =
            address.family == family
            ? address.reasonNotForServices : "is not of the slice's address type"
        if let reason {
            reader.report("endpoints[\(index)].addresses[0]", "\(text.text) \(reason)")
            return nil
        }
        let conditions = wire.conditions
        self.init(
            address: address,
            isReady: conditions.hasReady ? conditions.ready : true,
            isServing: conditions.hasServing ? conditions.serving : true,
            isTerminating: conditions.terminating,
            place: EndpointPlace(
                nodeName: wire.nodeName.isEmpty ? nil : wire.nodeName.text,
                zone: wire.zone.isEmpty ? nil : wire.zone.text,
                zoneHints: wire.hints.forZones.map(\.name.text),
                nodeHints: wire.hints.forNodes.map(\.name.text)
            )
        )
    }
}
