internal import NetworkTypes

extension Service: Decodable {
    package init(from decoder: any Decoder) throws {
        let object = try decoder.container(keyedBy: Field.self)
        self.init(name: try ObjectName(of: object))
        var reader = FieldReader()
        if let metadata = try object.nested("metadata") {
            createdAt = try metadata.value("creationTimestamp").flatMap(secondsSince1970)
            belongsToOtherProxy =
                try metadata.label("service.kubernetes.io/service-proxy-name") != nil
        }
        if let spec = try object.nested("spec") {
            try readAddresses(spec, &reader)
            try readPorts(spec, &reader)
            try readPolicies(spec, &reader)
        }
        try object.nested("status")?.nested("loadBalancer")?.forEachObject(in: "ingress") {
            index,
            ingress in
            // An ingress may have a hostname instead of an IP.
            guard let text: String = try ingress.value("ip"), !text.isEmpty,
                try ingress.value("ipMode") ?? "VIP" == "VIP"
            else { return }
            let field = "status.loadBalancer.ingress[\(index)].ip"
            if let address = reader.address(text, field) { loadBalancerVIPs.append(address) }
        }
        problems = reader.problems
    }

    private mutating func readAddresses(
        _ spec: KeyedDecodingContainer<Field>,
        _ reader: inout FieldReader
    ) throws {
        type = reader.word(try spec.value("type"), "spec.type", default: .clusterIP)
        let clusterIP: String? = try spec.value("clusterIP")
        var texts: [String] = try spec.value("clusterIPs") ?? []
        if texts.isEmpty, let clusterIP, !clusterIP.isEmpty { texts = [clusterIP] }
        if clusterIP != "None", texts != ["None"] {
            clusterIPs = texts.enumerated().compactMap { index, text in
                text.isEmpty ? nil : reader.address(text, "spec.clusterIPs[\(index)]")
            }
        }
        let external: [String] = try spec.value("externalIPs") ?? []
        externalIPs = external.enumerated().compactMap { index, text in
            reader.address(text, "spec.externalIPs[\(index)]")
        }
        let ranges: [String] = try spec.value("loadBalancerSourceRanges") ?? []
        if !ranges.isEmpty {
            loadBalancerSourceRanges = ranges.enumerated().compactMap { index, text in
                reader.prefix(text, "spec.loadBalancerSourceRanges[\(index)]")
            }
        }
    }

    private mutating func readPorts(
        _ spec: KeyedDecodingContainer<Field>,
        _ reader: inout FieldReader
    ) throws {
        try spec.forEachObject(in: "ports") { index, object in
            let path = "spec.ports[\(index)]"
            let nodePort: Int = try object.value("nodePort") ?? 0
            let transport = reader.transport(try object.value("protocol"), "\(path).protocol")
            let port = reader.port(try object.value("port") ?? 0, "\(path).port")
            guard let transport, let port else { return }
            ports.append(
                ServicePort(
                    name: try object.value("name") ?? "",
                    transport: transport,
                    port: port,
                    nodePort: nodePort == 0 ? nil : reader.port(nodePort, "\(path).nodePort")
                )
            )
        }
    }

    private mutating func readPolicies(
        _ spec: KeyedDecodingContainer<Field>,
        _ reader: inout FieldReader
    ) throws {
        internalTrafficPolicy = reader.word(
            try spec.value("internalTrafficPolicy"),
            "spec.internalTrafficPolicy",
            default: .cluster
        )
        externalTrafficPolicy = reader.word(
            try spec.value("externalTrafficPolicy"),
            "spec.externalTrafficPolicy",
            default: .cluster
        )
        guard try spec.value("sessionAffinity") == "ClientIP" else { return }
        let configured: Int? = try spec.nested("sessionAffinityConfig")?.nested("clientIP")?
            .value("timeoutSeconds")
        let seconds = configured ?? Self.defaultAffinityTimeout
        if (1...86400).contains(seconds) {
            affinityTimeout = UInt32(seconds)
        } else {
            reader.report(
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                "\(seconds) is not 1-86400; \(Self.defaultAffinityTimeout) is used"
            )
            affinityTimeout = UInt32(Self.defaultAffinityTimeout)
        }
    }

    /// `DefaultClientIPServiceAffinitySeconds` of core/v1.
    private static let defaultAffinityTimeout = 10800
}

extension ObjectName {
    /// Reads `metadata.namespace` and `metadata.name`.
    init(of object: KeyedDecodingContainer<Field>) throws {
        let metadata = try object.nested("metadata")
        guard let name: String = try metadata?.value("name"), !name.isEmpty else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: object.codingPath + [Field("metadata"), Field("name")],
                    debugDescription: "the object has no name"
                )
            )
        }
        self.init(namespace: try metadata?.value("namespace") ?? "", name: name)
    }
}

extension Field {
    init(_ name: String) { self.init(stringValue: name) }
}
