package import KubernetesWire
internal import NetworkTypes

extension Service: KubernetesResource {
    package init(_ wire: WireService) throws(FieldProblem) {
        let metadata = wire.metadata
        self.init(name: try ObjectName(metadata))
        uid = ObjectUID(metadata.uid.text)
        // A zero time is sent as an empty message.
        let created = metadata.creationTimestamp.seconds
        createdAt = created == 0 ? nil : created
        belongsToOtherProxy = metadata.label(Self.otherProxyLabel) != nil
        var reader = FieldReader()
        let spec = wire.spec
        readAddresses(spec, &reader)
        readPorts(spec.ports, &reader)
        readPolicies(spec, &reader)
        readIngress(wire.status.loadBalancer.ingress, &reader)
        balancing = Balancing(
            scheduler: metadata.annotation(Balancing.schedulerAnnotation)?.text ?? "",
            weights: metadata.annotation(Balancing.weightsAnnotation)?.text ?? "",
            &reader
        )
        problems = reader.problems
    }

    package mutating func share(_ pool: inout SharingPool) { pool.share(&ports) }

    private mutating func readAddresses(_ spec: WireServiceSpec, _ reader: inout FieldReader) {
        type = reader.word(spec.type, "spec.type", default: .clusterIP)
        let clusterIP = spec.clusterIp
        var texts = spec.clusterIps
        if texts.isEmpty, !clusterIP.isEmpty { texts = [clusterIP] }
        if clusterIP.text != "None", texts.map(\.text) != ["None"] {
            clusterIPs = texts.compactMapIndexed { index, text in
                text.isEmpty ? nil : reader.address(text, "spec.clusterIPs[\(index)]")
            }
        }
        externalIPs = spec.externalIps.compactMapIndexed { index, text in
            reader.address(text, "spec.externalIPs[\(index)]")
        }
        let ranges = spec.loadBalancerSourceRanges
        if !ranges.isEmpty {
            loadBalancerSourceRanges = ranges.compactMapIndexed { index, text in
                reader.prefix(text, "spec.loadBalancerSourceRanges[\(index)]")
            }
        }
    }

    private mutating func readPorts(_ list: [WireServicePort], _ reader: inout FieldReader) {
        ports = list.compactMapIndexed { index, item in
            let transport = reader.transport(item.protocol, "spec.ports[\(index)].protocol")
            let port = reader.port(item.port, "spec.ports[\(index)].port")
            let name = reader.name(item.name, "spec.ports[\(index)].name")
            guard let transport, let port, let name else { return nil }
            return ServicePort(
                name: name,
                transport: transport,
                port: port,
                nodePort: item.nodePort == 0
                    ? nil : reader.port(item.nodePort, "spec.ports[\(index)].nodePort")
            )
        }
    }

    private mutating func readPolicies(_ spec: WireServiceSpec, _ reader: inout FieldReader) {
        internalTrafficPolicy = reader.word(
            spec.internalTrafficPolicy,
            "spec.internalTrafficPolicy",
            default: .cluster
        )
        externalTrafficPolicy = reader.word(
            spec.externalTrafficPolicy,
            "spec.externalTrafficPolicy",
            default: .cluster
        )
        if spec.healthCheckNodePort != 0 {
            healthCheckNodePort = reader.port(spec.healthCheckNodePort, "spec.healthCheckNodePort")
        }
        guard spec.sessionAffinity.text == "ClientIP" else { return }
        let clientIP = spec.sessionAffinityConfig.clientIp
        let seconds =
            clientIP.hasTimeoutSeconds ? clientIP.timeoutSeconds : Self.defaultAffinityTimeout
        if !(1...86400).contains(seconds) {
            reader.report(
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                "\(seconds) is not 1-86400; \(Self.defaultAffinityTimeout) is used"
            )
        }
        affinityTimeout = UInt32(
            (1...86400).contains(seconds) ? seconds : Self.defaultAffinityTimeout
        )
    }

    private mutating func readIngress(
        _ list: [WireLoadBalancerIngress],
        _ reader: inout FieldReader
    ) {
        loadBalancerVIPs = list.compactMapIndexed { index, ingress in
            // An ingress may have a hostname instead of an IP.
            guard !ingress.ip.isEmpty, ["", "VIP"].contains(ingress.ipMode.text) else { return nil }
            return reader.address(ingress.ip, "status.loadBalancer.ingress[\(index)].ip")
        }
    }

    /// The default timeout in seconds, `DefaultClientIPServiceAffinitySeconds` of core/v1.
    private static let defaultAffinityTimeout: Int32 = 10800
}
