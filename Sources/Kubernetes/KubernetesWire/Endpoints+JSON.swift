extension WireEndpointSlice: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("metadata", \.metadata),
        .init("addressType", \.addressType),
        .init("ports", \.ports),
        .init("endpoints", \.endpoints),
    ]
}

extension WireEndpoint: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("addresses", \.addresses),
        .init("conditions", \.conditions),
        .init("nodeName", \.nodeName),
        .init("zone", \.zone),
        .init("hints", \.hints),
    ]
}

extension WireEndpointConditions: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("ready", \.ready),
        .init("serving", \.serving),
        .init("terminating", \.terminating),
    ]
}

extension WireEndpointHints: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("forZones", \.forZones),
        .init("forNodes", \.forNodes),
    ]
}

extension WireNamedHint: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("name", \.name)
    ]
}

extension WireEndpointPort: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("name", \.name),
        .init("protocol", \.`protocol`),
        .init("port", \.port),
    ]
}

extension WireEndpoints: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("metadata", \.metadata),
        .init("subsets", \.subsets),
    ]
}

extension WireEndpointSubset: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("addresses", \.addresses),
        .init("notReadyAddresses", \.notReadyAddresses),
        .init("ports", \.ports),
    ]
}

extension WireEndpointAddress: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("ip", \.ip),
        .init("nodeName", \.nodeName),
    ]
}

extension WireSubsetPort: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("name", \.name),
        .init("protocol", \.`protocol`),
        .init("port", \.port),
    ]
}
