internal import FoundationEssentials
internal import KubernetesWire
internal import SwiftProtobuf

/// A kind of object that the server stores.
struct ResourceKind: Sendable, Hashable {
    /// The API group; empty for the core group.
    let group: String
    let version = "v1"
    let kind: String
    let plural: String
    let shortNames: [String]
    let isNamespaced: Bool
    /// Whether `status` has its own path, and is changed only there.
    let hasStatus: Bool
    let encoding: ProtobufEncoding?

    var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
    var path: String { group.isEmpty ? "/api/v1" : "/apis/\(group)/\(version)" }
    var singular: String { kind.lowercased() }

    static let all = [
        ResourceKind(
            group: "",
            kind: "Service",
            plural: "services",
            shortNames: ["svc"],
            isNamespaced: true,
            hasStatus: true,
            encoding: ProtobufEncoding(WireService.self)
        ),
        ResourceKind(
            group: "discovery.k8s.io",
            kind: "EndpointSlice",
            plural: "endpointslices",
            shortNames: [],
            isNamespaced: true,
            hasStatus: false,
            encoding: ProtobufEncoding(WireEndpointSlice.self)
        ),
        ResourceKind(
            group: "",
            kind: "Endpoints",
            plural: "endpoints",
            shortNames: ["ep"],
            isNamespaced: true,
            hasStatus: false,
            encoding: ProtobufEncoding(WireEndpoints.self)
        ),
        ResourceKind(
            group: "",
            kind: "Node",
            plural: "nodes",
            shortNames: ["no"],
            isNamespaced: false,
            hasStatus: true,
            encoding: ProtobufEncoding(WireNode.self)
        ),
        ResourceKind(
            group: "networking.k8s.io",
            kind: "ServiceCIDR",
            plural: "servicecidrs",
            shortNames: [],
            isNamespaced: false,
            hasStatus: true,
            encoding: ProtobufEncoding(WireServiceCIDR.self)
        ),
        ResourceKind(
            group: "events.k8s.io",
            kind: "Event",
            plural: "events",
            shortNames: ["ev"],
            isNamespaced: true,
            hasStatus: false,
            encoding: nil
        ),
        ResourceKind(
            group: "apps",
            kind: "DaemonSet",
            plural: "daemonsets",
            shortNames: ["ds"],
            isNamespaced: true,
            hasStatus: true,
            encoding: nil
        ),
        ResourceKind(
            group: "",
            kind: "Namespace",
            plural: "namespaces",
            shortNames: ["ns"],
            isNamespaced: false,
            hasStatus: true,
            encoding: nil
        ),
    ]
}

/// Encodes objects of a kind in protobuf, with the fields in wire.proto.
struct ProtobufEncoding: Sendable, Hashable {
    private let message: any WireObject.Type

    init(_ message: any WireObject.Type) { self.message = message }

    func bytes(json: [UInt8]) throws -> [UInt8] {
        func encode<Message: WireObject>(_: Message.Type) throws -> [UInt8] {
            let value = try JSONDecoder().decode(FromJSON<Message>.self, from: Data(json))
            return try value.message.serializedBytes()
        }
        return try encode(message)
    }

    static func == (left: Self, right: Self) -> Bool {
        ObjectIdentifier(left.message) == ObjectIdentifier(right.message)
    }

    func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(message)) }
}
