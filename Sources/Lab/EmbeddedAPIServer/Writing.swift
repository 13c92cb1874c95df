internal import FoundationEssentials
internal import Synchronization

extension APIServer {
    /// Carries out a change; returns the stored object and the HTTP status of the answer.
    func write(
        _ request: ServerRequest,
        _ route: Route
    ) throws(APIStatus) -> (ObjectStore.Stored, code: Int) {
        switch request.method {
        case "POST": (try create(try object(request), route), 201)
        case "PUT": (try replace(try object(request), route), 200)
        case "PATCH": (try patch(request, route), 200)
        default: (try store.update(route.kind, route.key) { _, _ in nil }, 200)
        }
    }

    private func object(_ request: ServerRequest) throws(APIStatus) -> JSONValue {
        guard request.headers["content-type"]?.hasPrefix("application/json") ?? true else {
            throw APIStatus(
                code: 415,
                reason: "UnsupportedMediaType",
                message: "the body of the request was in an unknown format; only JSON is read"
            )
        }
        return try Self.json(request.body)
    }

    private static func json(_ body: [UInt8]) throws(APIStatus) -> JSONValue {
        do {
            return try JSONDecoder().decode(JSONValue.self, from: Data(body))
        } catch {
            throw .badRequest("the body is no JSON")
        }
    }

    private func create(
        _ object: JSONValue,
        _ route: Route
    ) throws(APIStatus) -> ObjectStore.Stored {
        var object = object
        if object["metadata"]["name"].string == nil,
            let prefix = object["metadata"]["generateName"].string
        {
            object["metadata"]["name"] = .string(
                prefix + String(UInt32.random(in: 0...(.max)), radix: 36)
            )
        }
        guard let name = object["metadata"]["name"].string, !name.isEmpty else {
            throw .invalid("metadata.name: Required value: name or generateName is required")
        }
        let key = route.kind.key(route.namespace, name)
        return try store.update(route.kind, key) { before, _ throws(APIStatus) in
            guard before == nil else { throw .alreadyExists(route.kind, name) }
            return try admit(object, route.kind, route.namespace, replacing: nil, keepsStatus: true)
        }
    }

    private func replace(
        _ object: JSONValue,
        _ route: Route
    ) throws(APIStatus) -> ObjectStore.Stored {
        try store.update(route.kind, route.key) { before, _ throws(APIStatus) in
            guard let before else { throw .notFound(route.kind, route.key) }
            return try change(before.object, to: object, route)
        }
    }

    private func patch(
        _ request: ServerRequest,
        _ route: Route
    ) throws(APIStatus) -> ObjectStore.Stored {
        let patch = try PatchType(request.headers["content-type"] ?? "")
        let body = try Self.json(request.body)
        return try store.update(route.kind, route.key) { before, _ throws(APIStatus) in
            guard let before else { throw .notFound(route.kind, route.key) }
            return try change(before.object, to: patch.apply(body, to: before.object), route)
        }
    }

    private func change(
        _ before: JSONValue,
        to object: JSONValue,
        _ route: Route
    ) throws(APIStatus) -> JSONValue {
        if let version = object["metadata"]["resourceVersion"].string,
            version != before["metadata"]["resourceVersion"].string
        {
            throw .conflict(route.kind, route.name)
        }
        if route.subresource == "status" {
            var changed = before
            changed["status"] = object["status"]
            return changed
        }
        return try admit(
            object,
            route.kind,
            route.namespace,
            replacing: before,
            keepsStatus: true
        )
    }

    /// Sets the fields that the server controls, and the defaults of the kind.
    ///
    /// - Parameter keepsStatus: whether the old status stays, because it has its own path
    func admit(
        _ object: JSONValue,
        _ kind: ResourceKind,
        _ namespace: String,
        replacing before: JSONValue?,
        keepsStatus: Bool
    ) throws(APIStatus) -> JSONValue {
        if let said = object["kind"].string, said != kind.kind {
            throw .badRequest("a \(said) cannot be a \(kind.kind)")
        }
        var object = object
        object["kind"] = .string(kind.kind)
        object["apiVersion"] = .string(kind.apiVersion)
        if kind.isNamespaced { object["metadata"]["namespace"] = .string(namespace) }
        for (field, fresh) in [("uid", Self.newUID), ("creationTimestamp", Self.now)] {
            let known = before?["metadata"][field] ?? .null
            object["metadata"][field] = known == .null ? .string(fresh()) : known
        }
        if kind.hasStatus, keepsStatus { object["status"] = before?["status"] ?? .null }
        switch kind.kind {
        case "Service": return try addresses.complete(object, replacing: before)
        case "Event": try EventRules.check(object, replacing: before)
        default: break
        }
        return object
    }

    private static func newUID() -> String { UUID().uuidString.lowercased() }

    private static func now() -> String { Date().formatted(.iso8601) }
}

/// Assigns addresses, node ports and defaults to Services.
final class AddressAllocator: Sendable {
    private let next = Mutex<(address: UInt32, nodePort: Int64)>((1, 30000))

    func complete(
        _ object: JSONValue,
        replacing before: JSONValue?
    ) throws(APIStatus) -> JSONValue {
        var service = object
        service["spec"]["type"] =
            service["spec"]["type"].string.map(JSONValue.string) ?? "ClusterIP"
        service["spec"]["sessionAffinity"] =
            service["spec"]["sessionAffinity"].string.map(JSONValue.string) ?? "None"
        let type = service["spec"]["type"].string ?? ""
        var ports = service["spec"]["ports"].array ?? []
        for index in ports.indices {
            guard let port = ports[index]["port"].integer, (1...65535).contains(port) else {
                throw .invalid(
                    "spec.ports[\(index)].port: Invalid value: must be between 1 and 65535"
                )
            }
            if ports[index]["protocol"].string == nil { ports[index]["protocol"] = "TCP" }
            if ports[index]["targetPort"] == .null {
                ports[index]["targetPort"] = ports[index]["port"]
            }
            if type == "NodePort" || type == "LoadBalancer", ports[index]["nodePort"].integer == nil
            {
                let known = before?["spec"]["ports"].array?.first {
                    $0["port"] == ports[index]["port"]
                }
                ports[index]["nodePort"] =
                    known?["nodePort"].integer.map(JSONValue.integer) ?? .integer(nextNodePort())
            }
        }
        if !ports.isEmpty { service["spec"]["ports"] = .array(ports) }
        guard type != "ExternalName" else { return service }
        service["spec"]["internalTrafficPolicy"] =
            service["spec"]["internalTrafficPolicy"].string.map(JSONValue.string) ?? "Cluster"
        var address = service["spec"]["clusterIP"].string ?? ""
        if address.isEmpty { address = service["spec"]["clusterIPs"].array?.first?.string ?? "" }
        if address.isEmpty { address = before?["spec"]["clusterIP"].string ?? nextAddress() }
        service["spec"]["clusterIP"] = .string(address)
        if service["spec"]["clusterIPs"].array == nil {
            service["spec"]["clusterIPs"] = [.string(address)]
        }
        return service
    }

    /// Returns an address from the upper half of the range, as for Services that request none.
    private func nextAddress() -> String {
        next.withLock { next in
            next.address += 1
            return "10.96.\(128 + next.address >> 8 & 0x7F).\(next.address & 0xFF)"
        }
    }

    private func nextNodePort() -> Int64 {
        next.withLock { next in
            next.nodePort += 1
            return next.nodePort
        }
    }
}
