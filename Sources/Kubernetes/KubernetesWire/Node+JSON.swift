extension WireNode: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("metadata", \.metadata),
        .init("spec", \.spec),
        .init("status", \.status),
    ]
}

extension WireNodeSpec: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("podCIDR", \.podCidr),
        .init("podCIDRs", \.podCidrs),
        .init("taints", \.taints),
    ]
}

extension WireTaint: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("key", \.key)
    ]
}

extension WireNodeStatus: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("addresses", \.addresses)
    ]
}

extension WireNodeAddress: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("type", \.type),
        .init("address", \.address),
    ]
}

extension WireServiceCIDR: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("metadata", \.metadata),
        .init("spec", \.spec),
    ]
}

extension WireServiceCIDRSpec: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("cidrs", \.cidrs)
    ]
}
