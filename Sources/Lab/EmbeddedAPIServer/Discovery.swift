internal import FoundationEssentials

extension APIServer {
    /// Answers requests about the server itself, and the lab's own requests; nil for any other.
    func staticPage(_ request: ServerRequest) throws(APIStatus) -> (body: [UInt8], type: String)? {
        let json = "application/json"
        switch request.path {
        case "/healthz", "/livez", "/readyz": return (Array("ok".utf8), "text/plain")
        case "/version":
            return (
                encoded([
                    "major": "1", "minor": "36", "gitVersion": "v1.36.0-needletail",
                    "platform": "linux/amd64",
                ]), json
            )
        case "/api":
            return (encoded(["kind": "APIVersions", "versions": ["v1"]]), json)
        case "/apis":
            let groups = Set(ResourceKind.all.map(\.group)).subtracting([""]).sorted()
            return (
                encoded([
                    "kind": "APIGroupList", "apiVersion": "v1",
                    "groups": .array(groups.map(Self.group)),
                ]), json
            )
        case "/openapi/v2": return openAPI(request)
        case "/lab/faults", "/lab/compact": return (try control(request), json)
        default:
            guard let kinds = Self.kinds(at: request.path) else { return nil }
            return (
                encoded([
                    "kind": "APIResourceList", "apiVersion": "v1",
                    "groupVersion": .string(kinds[0].apiVersion),
                    "resources": .array(kinds.flatMap(Self.resources)),
                ]), json
            )
        }
    }

    /// Answers the lab's own requests: `POST` adds a fault, and `DELETE` removes all faults.
    private func control(_ request: ServerRequest) throws(APIStatus) -> [UInt8] {
        switch (request.method, request.path) {
        case ("POST", "/lab/compact"): compact()
        case ("POST", "/lab/faults"):
            guard let fault = try? JSONDecoder().decode(Fault.self, from: Data(request.body)) else {
                let kinds = Fault.Kind.allCases.map(\.rawValue).joined(separator: ", ")
                throw .badRequest("no fault: \"kind\" is one of \(kinds)")
            }
            inject(fault)
        case ("DELETE", "/lab/faults"): clearFaults()
        default: throw .badRequest("POST or DELETE is expected")
        }
        return encoded(["kind": "Status", "apiVersion": "v1", "status": "Success"])
    }

    private static func kinds(at path: String) -> [ResourceKind]? {
        let kinds = ResourceKind.all.filter { $0.path == path }
        return kinds.isEmpty ? nil : kinds
    }

    private static func group(_ name: String) -> JSONValue {
        let version: JSONValue = ["groupVersion": .string("\(name)/v1"), "version": "v1"]
        return ["name": .string(name), "versions": [version], "preferredVersion": version]
    }

    private static func resources(_ kind: ResourceKind) -> [JSONValue] {
        let resource: JSONValue = [
            "name": .string(kind.plural), "singularName": .string(kind.singular),
            "namespaced": .bool(kind.isNamespaced), "kind": .string(kind.kind),
            "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
            "shortNames": .array(kind.shortNames.map(JSONValue.string)),
        ]
        guard kind.hasStatus else { return [resource] }
        return [
            resource,
            [
                "name": .string("\(kind.plural)/status"), "singularName": "",
                "namespaced": .bool(kind.isNamespaced), "kind": .string(kind.kind),
                "verbs": ["get", "patch", "update"],
            ],
        ]
    }

    /// Returns a document without definitions, so that kubectl does no validation of its own.
    private func openAPI(_ request: ServerRequest) -> (body: [UInt8], type: String) {
        if let type = request.headers["accept"], type.contains("proto-openapi") {
            // openapi.v2.Document: swagger "2.0", info {title, version}, no paths.
            let info: [UInt8] = [0x0A, 1] + Array("n".utf8) + [0x12, 1] + Array("1".utf8)
            let document: [UInt8] =
                [0x0A, 3] + Array("2.0".utf8) + [0x12, UInt8(info.count)] + info
            return (document, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        }
        return (
            encoded([
                "swagger": "2.0", "info": ["title": "needletail", "version": "1"], "paths": [:],
            ]), "application/json"
        )
    }

    private func encoded(_ value: JSONValue) -> [UInt8] {
        (try? Array(JSONEncoder.api.encode(value))) ?? []
    }
}
