internal import FoundationEssentials

/// Selects the objects for a list or a watch.
struct Filter: Sendable {
    private let tests: [@Sendable (ObjectStore.Stored) -> Bool]
    private let namespace: String
    private let name: String

    private static let fieldNames: [String: @Sendable (ObjectStore.Stored) -> String?] = [
        "metadata.name": { $0.name },
        "metadata.namespace": { $0.namespace },
        "spec.clusterIP": { $0.clusterIP },
        "spec.type": { $0.object["spec"]["type"].string },
        "involvedObject.name": { $0.object["regarding"]["name"].string },
    ]

    /// Makes a filter that every object passes.
    init() { (tests, namespace, name) = ([], "", "") }

    init(_ query: [String: String], _ route: Route) throws(APIStatus) {
        guard let labels = Selector(query["labelSelector"] ?? "") else {
            throw .badRequest("unable to parse requirement: \(query["labelSelector"] ?? "")")
        }
        guard let fields = Selector(query["fieldSelector"] ?? "") else {
            throw .badRequest("invalid field selector: \(query["fieldSelector"] ?? "")")
        }
        for key in fields.keys where Self.fieldNames[key] == nil {
            throw .badRequest("field label not supported: \(key)")
        }
        tests =
            fields.tests { Self.fieldNames[$0] ?? { _ in nil } }
            + labels.tests { key in { $0.labels[key] } }
        (namespace, name) = (route.namespace, route.name)
    }

    func contains(_ object: ObjectStore.Stored) -> Bool {
        (namespace.isEmpty || object.namespace == namespace)
            && (name.isEmpty || object.name == name)
            && tests.allSatisfy { $0(object) }
    }
}

/// The position at which a list in pages continues.
private struct ContinueToken: Codable {
    let rv: Int64
    let start: String
}

extension APIServer {
    /// Returns the body of a list.
    func list(
        _ request: ServerRequest,
        _ route: Route,
        _ encoding: AnswerEncoding,
        _ fault: Fault?
    ) throws(APIStatus) -> [UInt8] {
        let query = request.query
        let filter = try Filter(query, route)
        let current = store.version
        if fault?.kind == .expire { throw .expired(0, current) }
        var start = ""
        var wanted: Int64?
        if let text = query["continue"] {
            guard let data = Data(base64Encoded: text),
                let token = try? JSONDecoder().decode(ContinueToken.self, from: data)
            else { throw .badRequest("continue key is not valid") }
            (wanted, start) = (token.rv, token.start)
        } else if let version = try version(query), version > 0 {
            guard version <= current else { throw .tooLarge(version, current) }
            if query["resourceVersionMatch"] == "Exact" { wanted = version }
        }
        guard let (all, version) = store.list(route.kind, at: wanted, filter) else {
            var status = APIStatus.expired(wanted ?? 0, current)
            if query["continue"] != nil {
                status.message =
                    "The provided continue parameter is too old to display a consistent list result."
                status.continueToken = token(-1, start)
            }
            throw status
        }
        var objects = all.filter { $0.key >= start }
        var next = ""
        var remaining = 0
        // A list from the cache is always complete.
        if let limit = query["limit"].flatMap({ Int($0) }), limit > 0, objects.count > limit,
            query["resourceVersion"] != "0"
        {
            next = token(version, objects[limit].key)
            remaining = objects.count - limit
            objects.removeSubrange(limit...)
        }
        return encoding.list(
            route.kind,
            objects,
            version: version,
            continueToken: next,
            remaining: remaining
        )
    }

    private func token(_ version: Int64, _ start: String) -> String {
        let data = try? JSONEncoder().encode(ContinueToken(rv: version, start: start))
        return data?.base64EncodedString() ?? ""
    }

    /// Returns the version that a request asks for; nil for the most recent one.
    func version(_ query: [String: String]) throws(APIStatus) -> Int64? {
        guard let text = query["resourceVersion"], !text.isEmpty else { return nil }
        guard let version = Int64(text), version >= 0 else {
            throw APIStatus(
                code: 500,
                reason: "",
                message: "Invalid value: \"\(text)\": strconv.ParseUint: parsing: invalid syntax"
            )
        }
        return version
    }
}
