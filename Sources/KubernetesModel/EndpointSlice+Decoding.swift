internal import NetworkTypes

extension EndpointSlice: Decodable {
    package init(from decoder: any Decoder) throws {
        let object = try decoder.container(keyedBy: Field.self)
        let name = try ObjectName(of: object)
        let service: String? = try object.nested("metadata")?.label("kubernetes.io/service-name")
        var reader = FieldReader()
        let addressType: String = try object.value("addressType") ?? ""
        let family: IPFamily?
        switch addressType {
        case "IPv4": family = .ipv4
        case "IPv6": family = .ipv6
        case "FQDN": family = nil
        default:
            family = nil
            reader.report("addressType", "\"\(addressType)\" is not IPv4, IPv6 or FQDN")
        }
        self.init(
            name: name,
            service: service.flatMap {
                $0.isEmpty ? nil : ObjectName(namespace: name.namespace, name: $0)
            },
            family: family
        )
        if family != nil {
            try readPorts(object, &reader)
            try object.forEachObject(in: "endpoints") { index, endpoint in
                try readEndpoint(endpoint, "endpoints[\(index)]", &reader)
            }
        }
        problems = reader.problems
    }

    private mutating func readPorts(
        _ object: KeyedDecodingContainer<Field>,
        _ reader: inout FieldReader
    ) throws {
        try object.forEachObject(in: "ports") { index, port in
            // A port without a number means "all ports", which no Service can use.
            guard let number: Int = try port.value("port") else { return }
            let path = "ports[\(index)]"
            let transport = reader.transport(try port.value("protocol"), "\(path).protocol")
            let valid = reader.port(number, "\(path).port")
            guard let transport, let valid else { return }
            ports.append(
                EndpointPort(
                    name: try port.value("name") ?? "",
                    transport: transport,
                    port: valid
                )
            )
        }
    }

    private mutating func readEndpoint(
        _ object: KeyedDecodingContainer<Field>,
        _ path: String,
        _ reader: inout FieldReader
    ) throws {
        let addresses: [String] = try object.value("addresses") ?? []
        guard let text = addresses.first else {
            return reader.report("\(path).addresses", "is empty")
        }
        guard let address = reader.address(text, "\(path).addresses[0]") else { return }
        guard address.family == family else {
            return reader.report(
                "\(path).addresses[0]",
                "\(text) is not of the slice's address type"
            )
        }
        if let reason = address.reasonNotForServices {
            return reader.report("\(path).addresses[0]", "\(text) \(reason)")
        }
        let conditions = try object.nested("conditions")
        let isReady: Bool = try conditions?.value("ready") ?? true
        var endpoint = SliceEndpoint(
            address: address,
            isReady: isReady,
            isServing: try conditions?.value("serving"),
            isTerminating: try conditions?.value("terminating") ?? false,
            nodeName: try object.value("nodeName")
        )
        if let hints = try object.nested("hints") {
            try hints.forEachObject(in: "forZones") { _, hint in
                if let zone: String = try hint.value("name") { endpoint.zoneHints.append(zone) }
            }
            try hints.forEachObject(in: "forNodes") { _, hint in
                if let node: String = try hint.value("name") { endpoint.nodeHints.append(node) }
            }
        }
        endpoints.append(endpoint)
    }
}
