internal import KubernetesWire
package import NetworkTypes
internal import Synchronization

/// Sends requests to an API server.
package struct APIClient: Sendable {
    private let access: Access
    private let transport: HTTPTransport
    private let forms: ObjectForms
    private let observer: (@Sendable (RequestRecord) -> Void)?
    private let patience: Patience
    let serverReturn = ServerReturn()
    package let traffic: APITraffic

    /// How long a connection may be silent before it is treated as dead.
    package struct Patience: Sendable {
        package var request = Duration.seconds(60)
        /// The limit for a watch, for which an API server sends a bookmark every minute.
        package var watch = Duration.seconds(150)

        package init() {}
    }

    /// The facts about a request that client-go's metrics report.
    package struct RequestRecord: Sendable {
        package let method: String
        /// The host and port of the server.
        package let host: String
        /// The HTTP status, or `<error>` if there was no answer.
        package let code: String
        /// The time until the head of the answer arrived.
        package let duration: Duration
        /// The server's address; nil if there was no answer.
        package let peer: ConnectionPeer?
    }

    /// Makes a client.
    ///
    /// - Parameters: - encoding: the encoding to ask for; a server that refuses protobuf is asked
    ///   for JSON - isOwnAddress: whether an address is one of the node's, to which nothing needs
    ///   compression - observer: called for each request when its answer begins
    package init(
        _ credentials: Credentials,
        encoding: WireEncoding = .protobuf,
        patience: Patience = Patience(),
        isOwnAddress: @escaping @Sendable (IPAddress) -> Bool = { _ in false },
        observer: (@Sendable (RequestRecord) -> Void)? = nil
    ) {
        self.observer = observer
        access = Access(credentials)
        self.patience = patience
        forms = ObjectForms(encoding)
        let traffic = APITraffic()
        self.traffic = traffic
        transport = HTTPTransport(ServerLinks(isOwnAddress), traffic)
    }

    package var credentials: Credentials { access.current.credentials }

    /// Makes all later requests use these credentials; open requests keep the old ones.
    package func use(_ credentials: Credentials) { access.replace(with: credentials) }

    /// Reads a list, or the one page of it that a continue token stands for.
    ///
    /// - Parameter namespace: empty for all namespaces
    func page<Object: Resource>(
        _: Object.Type,
        _ query: URLQuery,
        in namespace: String = ""
    ) async throws(ClientError) -> ListPage<Object> {
        let path = Object.path(in: namespace) + query.text
        var answer = try await open(
            HTTPRequest(kind: Object.kind, path: path, idleLimit: patience.request)
        )
        var decoder = ListDecoder<Object>(try answer.encoding)
        while let bytes = try await answer.next() {
            try answer.read { () throws(WireError) in try decoder.append(bytes) }
        }
        return try answer.read { () throws(WireError) in try decoder.finish() }
    }

    /// Passes each event to the closure, until the server ends the watch or the closure returns
    /// false.
    ///
    /// An event of type ERROR is thrown.
    func watch<Object: Resource>(
        _: Object.Type,
        _ query: URLQuery,
        _ limit: StreamLimit? = nil,
        _ body: (WatchEvent<Object>) async -> Bool
    ) async throws(ClientError) {
        var request = HTTPRequest(
            kind: Object.kind,
            path: Object.path + query.text,
            idleLimit: patience.watch
        )
        request.limit = limit
        var answer = try await open(request)
        var decoder = WatchDecoder<Object>(try answer.encoding)
        while let bytes = try await answer.next() {
            decoder.append(bytes)
            while let event = try answer.read({ () throws(WireError) in try decoder.next() }) {
                guard try await answer.hand(event, to: body) else { return }
            }
        }
        guard !Task.isCancelled else { return }
        if let event = try answer.read({ () throws(WireError) in try decoder.finish() }) {
            _ = try await answer.hand(event, to: body)
        }
    }

    /// Sends any other request, in JSON, and returns the body of the answer.
    ///
    /// - Parameter kind: the kind of object whose traffic it belongs to
    @discardableResult
    package func send(
        _ method: String,
        _ path: String,
        _ body: [UInt8]? = nil,
        contentType: String = WireEncoding.json.rawValue,
        kind: String = "other"
    ) async throws(ClientError) -> [UInt8] {
        var request = HTTPRequest(kind: kind, path: path, idleLimit: patience.request)
        (request.method, request.body) = (method, body)
        (request.contentType, request.accept) = (contentType, WireEncoding.json.rawValue)
        var answer = try await open(request)
        var received: [UInt8] = []
        while let bytes = try await answer.next() {
            guard received.count + bytes.count <= largestFrame else {
                throw .malformed(request: "\(method) \(path)", reason: "it is too long")
            }
            received += bytes
        }
        return received
    }

    /// Sends a request, and returns its answer once a head with status 2xx has arrived.
    ///
    /// A form that the server refuses is followed by a simpler one, which is remembered if the server
    /// takes it.
    private func open(_ request: HTTPRequest) async throws(ClientError) -> APIAnswer {
        guard request.accept.isEmpty else { return try await authorized(request) }
        let server = credentials.server
        var request = request
        var form = forms[server]
        while true {
            request.accept = form.accept
            do throws(ClientError) {
                let answer = try await authorized(request)
                forms[server] = form
                return answer
            } catch {
                guard let simpler = form.afterRefusal(error.status?.code ?? 0) else { throw error }
                form = simpler
            }
        }
    }

    /// Sends a request, and once more after 401 if a plugin supplies the credentials.
    private func authorized(_ request: HTTPRequest) async throws(ClientError) -> APIAnswer {
        do throws(ClientError) {
            return try await attempt(request)
        } catch {
            guard error.status?.code == 401, let plugin = access.current.plugin else {
                throw error
            }
            await plugin.forget()
        }
        return try await attempt(request)
    }

    private func attempt(_ request: HTTPRequest) async throws(ClientError) -> APIAnswer {
        let (credentials, plugin) = access.current
        let identity = try Identity(credentials, plugin: await plugin?.current())
        let response = try transport.send(request, to: credentials, as: identity)
        var answer = APIAnswer("\(request.method) \(credentials.server)\(request.path)", response)
        let start = ContinuousClock.now
        do throws(ClientError) {
            try await answer.readHead()
        } catch {
            record(
                request,
                error.status.map { "\($0.code)" } ?? "<error>",
                answer.peer,
                since: start
            )
            if error.isAbsence { serverReturn.lost() }
            throw error
        }
        serverReturn.answered()
        record(request, "\(answer.status)", answer.peer, since: start)
        return answer
    }

    private func record(
        _ request: HTTPRequest,
        _ code: String,
        _ peer: ConnectionPeer?,
        since start: ContinuousClock.Instant
    ) {
        guard let observer, !Task.isCancelled else { return }
        let server = credentials.server
        let host = server.firstRange(of: "://").map { String(server[$0.upperBound...]) } ?? server
        observer(
            RequestRecord(
                method: request.method,
                host: String(host.prefix { $0 != "/" }),
                code: code,
                duration: .now - start,
                peer: peer
            )
        )
    }
}

/// The current credentials and plugin, shared by all requests of a client.
private final class Access: Sendable {
    typealias Current = (credentials: Credentials, plugin: ExecCredentialCache?)
    private let state: Mutex<Current>

    init(_ credentials: Credentials) { state = Mutex(Self.make(credentials)) }

    var current: Current { state.withLock { $0 } }

    func replace(with credentials: Credentials) {
        state.withLock { $0 = Self.make(credentials) }
    }

    private static func make(_ credentials: Credentials) -> Current {
        (credentials, credentials.plugin.map { ExecCredentialCache($0) })
    }
}

/// The query parameters of a request.
struct URLQuery: ExpressibleByDictionaryLiteral {
    private var parameters: [(String, String)]

    init(dictionaryLiteral elements: (String, String)...) { parameters = elements }

    /// Adds a parameter, unless its value is empty.
    mutating func add(_ name: String, _ value: String) {
        if !value.isEmpty { parameters.append((name, value)) }
    }

    /// The escaped query with its question mark; empty without parameters.
    var text: String {
        parameters.isEmpty
            ? ""
            : "?" + parameters.map { "\($0)=\(Self.escaped($1))" }.joined(separator: "&")
    }

    static func escaped(_ text: String) -> String {
        text.utf8.reduce(into: "") { result, byte in
            let scalar = Unicode.Scalar(byte)
            if scalar.properties.isAlphabetic && scalar.isASCII
                || "-._~0123456789".unicodeScalars.contains(scalar)
            {
                result.unicodeScalars.append(scalar)
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                result += byte < 16 ? "%0\(digits)" : "%\(digits)"
            }
        }
    }
}
