internal import FoundationEssentials

/// The resource that a path names.
struct Route {
    let kind: ResourceKind
    /// The namespace; empty for all namespaces, or for a cluster-scoped kind.
    var namespace = ""
    /// The name of the object; empty for the whole collection.
    var name = ""
    /// The subresource: `status`, or empty.
    var subresource = ""

    var key: String { kind.key(namespace, name) }

    init?(_ path: String) {
        let words = path.split(separator: "/").map(String.init)
        let group: String
        var rest: ArraySlice<String>
        if words.starts(with: ["api", "v1"]) {
            (group, rest) = ("", words.dropFirst(2))
        } else if words.count > 2, words[0] == "apis", words[2] == "v1" {
            (group, rest) = (words[1], words.dropFirst(3))
        } else {
            return nil
        }
        if rest.first == "namespaces", rest.count > 2 {
            namespace = rest[rest.startIndex + 1]
            rest = rest.dropFirst(2)
        }
        guard let plural = rest.popFirst(),
            let kind = ResourceKind.all.first(where: { $0.group == group && $0.plural == plural })
        else { return nil }
        self.kind = kind
        name = rest.popFirst() ?? ""
        subresource = rest.popFirst() ?? ""
        guard rest.isEmpty, subresource.isEmpty || subresource == "status" && kind.hasStatus else {
            return nil
        }
    }
}

extension APIServer {
    func answer(_ request: ServerRequest, _ connection: Connection) throws {
        let fault = faults.take(path: request.path)
        do {
            if let token = configuration.token,
                request.headers["authorization"] != "Bearer \(token)"
            {
                throw APIStatus(code: 401, reason: "Unauthorized", message: "Unauthorized")
            }
            if let fault, fault.kind == .refuse {
                throw APIStatus(
                    code: fault.code,
                    reason: "Injected",
                    message: "injected fault",
                    details: ["retryAfterSeconds": .integer(Int64(fault.retryAfter))]
                )
            }
            if let page = try staticPage(request) {
                try send(page.body, page.type, connection, fault)
            } else if let route = Route(request.path) {
                try authorizer.check(Permission(request, route), in: route.namespace)
                try answer(request, route, fault, connection)
            } else {
                throw APIStatus(
                    code: 404,
                    reason: "NotFound",
                    message: "the server could not find the requested resource"
                )
            }
        } catch let status as APIStatus {
            try refuse(status, request, connection)
        }
    }

    private func refuse(
        _ status: APIStatus,
        _ request: ServerRequest,
        _ connection: Connection
    ) throws {
        let encoding =
            AnswerEncoding(
                accept: request.headers["accept"] ?? "",
                hasProtobuf: configuration.hasProtobuf,
                drop: configuration.drop
            ) ?? .json
        let body = encoding.status(status)
        var headers = [
            ("Content-Type", encoding.contentType), ("Content-Length", "\(body.count)"),
        ]
        if let seconds = status.details["retryAfterSeconds"].integer, seconds > 0 {
            headers.append(("Retry-After", "\(seconds)"))
        }
        try connection.sendHead(status.code, headers)
        try connection.send(body)
    }

    private func answer(
        _ request: ServerRequest,
        _ route: Route,
        _ fault: Fault?,
        _ connection: Connection
    ) throws {
        let encoding = AnswerEncoding(
            accept: request.headers["accept"] ?? "",
            hasProtobuf: configuration.hasProtobuf && route.kind.encoding != nil,
            drop: configuration.drop
        )
        guard let encoding else {
            throw APIStatus(
                code: 406,
                reason: "NotAcceptable",
                message: "only the following media types are accepted: application/json"
            )
        }
        switch request.method {
        case "GET" where request.isWatch:
            try Watch(self, request, route, encoding, fault).serve(on: connection)
        case "GET" where route.name.isEmpty:
            try send(
                try list(request, route, encoding, fault),
                encoding.contentType,
                connection,
                fault
            )
        case "GET":
            guard let stored = store.get(route.kind, route.key) else {
                throw APIStatus.notFound(route.kind, route.key)
            }
            try send(encoding.object(stored), encoding.contentType, connection, fault)
        case "POST", "PUT", "PATCH", "DELETE":
            let (stored, code) = try write(request, route)
            try send(encoding.object(stored), encoding.contentType, connection, fault, code: code)
        default:
            throw APIStatus(
                code: 405,
                reason: "MethodNotAllowed",
                message: "the server does not allow this method on the requested resource"
            )
        }
    }

    /// Sends a body with the fault in its middle.
    private func send(
        _ body: [UInt8],
        _ contentType: String,
        _ connection: Connection,
        _ fault: Fault?,
        code: Int = 200
    ) throws {
        try connection.sendHead(
            code,
            [("Content-Type", contentType), ("Transfer-Encoding", "chunked")]
        )
        let half = body.count / 2
        switch fault?.kind {
        case .drop:
            try connection.sendChunk(Array(body[..<half]))
            throw ConnectionLost()
        case .stall:
            try connection.sendChunk(Array(body[..<half]))
            try connection.stall()
        case .truncate: try connection.sendChunk(Array(body[..<half]))
        case .garbage:
            // The noise is shorter than the rest of the body, which protobuf could otherwise accept
            // as a list.
            let noise = (0..<(body.count - half) / 2).map { _ in UInt8.random(in: 0x80...0xFF) }
            try connection.sendChunk(body[..<half] + noise)
        case .slow: try connection.sendSlowly(body)
        default: try connection.sendChunk(body)
        }
        try connection.endChunks()
    }
}

extension Connection {
    /// Sends nothing more, and returns when the client gives up.
    func stall() throws {
        while wait(for: -1, milliseconds: 1000) {}
        throw ConnectionLost()
    }

    /// Sends a body in chunks of a few bytes, each in its own packet.
    func sendSlowly(_ body: [UInt8]) throws {
        var rest = body[...]
        while !rest.isEmpty {
            try sendChunk(Array(rest.prefix(7)))
            rest = rest.dropFirst(7)
        }
    }
}
