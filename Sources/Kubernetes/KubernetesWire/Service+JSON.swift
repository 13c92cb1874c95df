extension WireService: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("metadata", \.metadata),
        .init("spec", \.spec),
        .init("status", \.status),
    ]
}

extension WireServiceSpec: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("ports", \.ports),
        .init("clusterIP", \.clusterIp),
        .init("clusterIPs", \.clusterIps),
        .init("type", \.type),
        .init("externalIPs", \.externalIps),
        .init("sessionAffinity", \.sessionAffinity),
        .init("sessionAffinityConfig", \.sessionAffinityConfig),
        .init("loadBalancerSourceRanges", \.loadBalancerSourceRanges),
        .init("externalTrafficPolicy", \.externalTrafficPolicy),
        .init("healthCheckNodePort", \.healthCheckNodePort),
        .init("internalTrafficPolicy", \.internalTrafficPolicy),
    ]
}

extension WireServicePort: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("name", \.name),
        .init("protocol", \.`protocol`),
        .init("port", \.port),
        .init("nodePort", \.nodePort),
    ]
}

extension WireSessionAffinityConfig: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("clientIP", \.clientIp)
    ]
}

extension WireClientIPConfig: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("timeoutSeconds", \.timeoutSeconds)
    ]
}

extension WireServiceStatus: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("loadBalancer", \.loadBalancer)
    ]
}

extension WireLoadBalancerStatus: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("ingress", \.ingress)
    ]
}

extension WireLoadBalancerIngress: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("ip", \.ip),
        .init("ipMode", \.ipMode),
    ]
}
