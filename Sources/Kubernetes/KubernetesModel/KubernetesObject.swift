internal import KubernetesWire

/// An object of one of the kinds that a node proxy reads.
package enum KubernetesObject: Sendable, Hashable {
    case service(Service)
    case endpointSlice(EndpointSlice)
    case endpoints(Endpoints)
    case node(Node)
    case serviceCIDR(ServiceCIDR)
}

/// All objects of a manifest or of `kubectl get -o json`: one object, or a List of them.
///
/// Kinds that a proxy does not read are left out. The items of a typed list (`ServiceList`) carry
/// no kind of their own and take it from the list.
package struct KubernetesObjects: Decodable {
    package var objects: [KubernetesObject] = []

    package init(from decoder: any Decoder) throws {
        let object = try decoder.container(keyedBy: Field.self)
        let kind: String? = try object.value("kind")
        try append(decoder, apiVersion: object.value("apiVersion"), kind: kind, object)
    }

    private mutating func append(
        _ decoder: any Decoder,
        apiVersion: String?,
        kind: String?,
        _ object: KeyedDecodingContainer<Field>
    ) throws {
        guard let kind, !kind.isEmpty else {
            throw DecodingError.keyNotFound(
                Field("kind"),
                .init(codingPath: decoder.codingPath, debugDescription: "the object has no kind")
            )
        }
        switch (apiVersion, kind) {
        case ("v1", "Service"): objects.append(.service(try Service(from: decoder)))
        case ("v1", "Endpoints"): objects.append(.endpoints(try Endpoints(from: decoder)))
        case ("v1", "Node"): objects.append(.node(try Node(from: decoder)))
        case ("discovery.k8s.io/v1", "EndpointSlice"):
            objects.append(.endpointSlice(try EndpointSlice(from: decoder)))
        case ("networking.k8s.io/v1", "ServiceCIDR"):
            objects.append(.serviceCIDR(try ServiceCIDR(from: decoder)))
        case (_, _) where kind.hasSuffix("List"):
            try appendItems(object, apiVersion: apiVersion, listKind: kind)
        default: break
        }
    }

    private mutating func appendItems(
        _ list: KeyedDecodingContainer<Field>,
        apiVersion: String?,
        listKind: String
    ) throws {
        guard list.contains("items"), try !list.decodeNil(forKey: "items") else { return }
        var items = try list.nestedUnkeyedContainer(forKey: "items")
        let itemKind = listKind == "List" ? nil : String(listKind.dropLast("List".count))
        while !items.isAtEnd {
            let decoder = try items.superDecoder()
            let item = try decoder.container(keyedBy: Field.self)
            try append(
                decoder,
                apiVersion: item.value("apiVersion") ?? apiVersion,
                kind: item.value("kind") ?? itemKind,
                item
            )
        }
    }
}

extension CodingKey {
    /// The key as part of a path: `[3]` for a list index, otherwise `.name`.
    fileprivate var pathComponent: String { intValue.map { "[\($0)]" } ?? ".\(stringValue)" }
}

extension DecodingError {
    /// The path of the field as Kubernetes writes it (`spec.ports[0].port`), and what is wrong
    /// there.
    package var fieldProblem: FieldProblem {
        let (context, missing): (Context, (any CodingKey)?) =
            switch self {
            case .typeMismatch(_, let context), .valueNotFound(_, let context),
                .dataCorrupted(let context):
                (context, nil)
            case .keyNotFound(let key, let context): (context, key)
            @unknown default: (Context(codingPath: [], debugDescription: "\(self)"), nil)
            }
        let path = (context.codingPath + [missing].compactMap(\.self)).map(\.pathComponent).joined()
        let reason =
            switch self {
            case .typeMismatch(let type, _): "is not \(Self.kindOfValue(type))"
            case .keyNotFound: "is missing"
            default: context.debugDescription
            }
        return FieldProblem(path.hasPrefix(".") ? String(path.dropFirst()) : path, reason)
    }

    private static func kindOfValue(_ type: any Any.Type) -> String {
        switch "\(type)" {
        case "Int", "Int32": "a whole number"
        case "String": "a text"
        case "Bool": "true or false"
        case let name where name.hasPrefix("Dictionary"): "an object"
        case let name where name.hasPrefix("Array"): "a list"
        case let name: "a \(name)"
        }
    }
}
