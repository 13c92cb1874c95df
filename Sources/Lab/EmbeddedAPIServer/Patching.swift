/// The type of a patch, from its Content-Type.
///
/// Server-side apply merges the patch as if other managers owned all fields of the object: it
/// removes no fields, and never reports a conflict.
enum PatchType: String {
    case merge = "application/merge-patch+json"
    case strategic = "application/strategic-merge-patch+json"
    case operations = "application/json-patch+json"
    case apply = "application/apply-patch+yaml"

    init(_ contentType: String) throws(APIStatus) {
        guard let type = PatchType(rawValue: contentType) else {
            throw APIStatus(
                code: 415,
                reason: "UnsupportedMediaType",
                message: "the body of the request was in an unknown format - accepted media"
                    + " types include: application/json-patch+json,"
                    + " application/merge-patch+json, application/strategic-merge-patch+json"
            )
        }
        self = type
    }

    func apply(_ patch: JSONValue, to object: JSONValue) throws(APIStatus) -> JSONValue {
        switch self {
        case .merge: Patch.merge(patch, into: object)
        // kubectl sends JSON here, although the type says YAML.
        case .strategic, .apply: Patch.strategic(patch, into: object)
        case .operations: try Patch.operations(patch, on: object)
        }
    }
}

/// The patches that kubectl sends.
enum Patch {
    /// Applies a merge patch (RFC 7386).
    static func merge(_ patch: JSONValue, into target: JSONValue) -> JSONValue {
        guard case .object(let changes) = patch else { return patch }
        var result = target.members == nil ? [:] : target
        for (key, value) in changes {
            result[key] = value == .null ? .null : merge(value, into: result[key])
        }
        return result
    }

    /// Applies Kubernetes' strategic merge: lists with a merge key are merged by it, others
    /// replaced.
    static func strategic(_ patch: JSONValue, into target: JSONValue) -> JSONValue {
        guard case .object(var changes) = patch else { return patch }
        if changes.removeValue(forKey: "$patch") == "replace" {
            return .object(changes)
        }
        var result = target.members == nil ? [:] : target
        for (key, value) in changes where !key.hasPrefix("$") {
            if value == .null {
                result[key] = .null
            } else if case .array(let elements) = value {
                result[key] = list(elements, key: key, into: result[key].array ?? [])
            } else {
                result[key] = strategic(value, into: result[key])
            }
        }
        for (key, order) in changes where key.hasPrefix("$setElementOrder/") {
            let field = String(key.dropFirst("$setElementOrder/".count))
            guard let list = result[field].array, let order = order.array else { continue }
            result[field] = .array(ordered(list, like: order, by: mergeKeys[field]))
        }
        for (key, value) in changes where key.hasPrefix("$deleteFromPrimitiveList/") {
            let field = String(key.dropFirst("$deleteFromPrimitiveList/".count))
            let gone = value.array ?? []
            result[field] = .array((result[field].array ?? []).filter { !gone.contains($0) })
        }
        return result
    }

    /// The `patchMergeKey` of the list fields in the kinds that the server has.
    private static let mergeKeys = [
        "ports": "port", "conditions": "type", "ownerReferences": "uid", "taints": "key",
        "containers": "name", "initContainers": "name", "env": "name", "volumes": "name",
        "volumeMounts": "mountPath",
    ]

    /// Sorts a list by a given order; elements that the order does not name come last.
    private static func ordered(
        _ list: [JSONValue],
        like order: [JSONValue],
        by mergeKey: String?
    ) -> [JSONValue] {
        func place(_ element: JSONValue) -> Int {
            order.firstIndex { known in
                mergeKey.map { known[$0] == element[$0] } ?? (known == element)
            } ?? order.count
        }
        let places = list.enumerated().map { (place($0.element), $0.offset, $0.element) }
        return places.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map(\.2)
    }

    private static func list(
        _ elements: [JSONValue],
        key: String,
        into target: [JSONValue]
    ) -> JSONValue {
        if key == "finalizers" { return .array(target + elements.filter { !target.contains($0) }) }
        guard let mergeKey = mergeKeys[key] else { return .array(elements) }
        var result = target
        for element in elements {
            let index = result.firstIndex { $0[mergeKey] == element[mergeKey] }
            if element["$patch"] == "delete" {
                if let index { result.remove(at: index) }
            } else if let index {
                result[index] = strategic(element, into: result[index])
            } else {
                result.append(strategic(element, into: [:]))
            }
        }
        return .array(result)
    }

    /// Applies a JSON patch (RFC 6902), without `move` and `copy`.
    static func operations(
        _ patch: JSONValue,
        on target: JSONValue
    ) throws(APIStatus) -> JSONValue {
        var result = target
        for operation in patch.array ?? [] {
            let path = (operation["path"].string ?? "").split(separator: "/").map {
                String($0).replacing("~1", with: "/").replacing("~0", with: "~")
            }
            result = try apply(operation, path[...], to: result)
        }
        return result
    }

    private static func apply(
        _ operation: JSONValue,
        _ path: ArraySlice<String>,
        to target: JSONValue
    ) throws(APIStatus) -> JSONValue {
        guard let key = path.first else {
            if operation["op"] == "test", operation["value"] != target {
                throw .invalid("testing value failed")
            }
            return operation["op"] == "test" ? target : operation["value"]
        }
        let rest = path.dropFirst()
        if case .array(var list) = target {
            let index = key == "-" ? list.count : Int(key) ?? -1
            guard (0...list.count).contains(index) else {
                throw .invalid("no such place in the list: \(key)")
            }
            if rest.isEmpty, operation["op"] == "add" {
                list.insert(operation["value"], at: index)
            } else if index == list.count {
                throw .invalid("no such place in the list: \(key)")
            } else if rest.isEmpty, operation["op"] == "remove" {
                list.remove(at: index)
            } else {
                list[index] = try apply(operation, rest, to: list[index])
            }
            return .array(list)
        }
        var result = target
        if rest.isEmpty, operation["op"] == "remove" {
            result[key] = .null
        } else {
            result[key] = try apply(operation, rest, to: target[key])
        }
        return result
    }
}
