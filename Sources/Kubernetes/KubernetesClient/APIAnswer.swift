internal import KubernetesWire

/// The answer to a request while it is being received.
struct APIAnswer {
    /// The method and URL, for error messages.
    private let request: String
    private var events: HTTPResponse.Iterator
    private var head = HTTPHead(status: 0, contentType: "", retryAfter: .zero, peer: nil)

    init(_ request: String, _ response: HTTPResponse) {
        self.request = request
        events = response.makeAsyncIterator()
    }

    /// Waits for the head; throws for any status outside 2xx.
    mutating func readHead() async throws(ClientError) {
        guard case .head(let head) = try await nextEvent() else {
            throw .transport(request: request, reason: "cancelled")
        }
        self.head = head
        guard !(200..<300).contains(head.status) else { return }
        var body: [UInt8] = []
        while let bytes = try await next(), body.count < Self.errorLimit { body += bytes }
        let said = ServerStatus(body, contentType: head.contentType)
        throw .status(
            request: request,
            ServerStatus(
                code: head.status,
                message: said.message,
                retryAfter: max(said.retryAfter, head.retryAfter)
            )
        )
    }

    var status: Int { head.status }
    var peer: ConnectionPeer? { head.peer }

    private static let errorLimit = 64 << 10

    /// Returns the next bytes of the body; nil at its end, or when the task is cancelled.
    mutating func next() async throws(ClientError) -> [UInt8]? {
        switch try await nextEvent() {
        case .body(let bytes): bytes
        case nil, .head: nil
        }
    }

    private mutating func nextEvent() async throws(ClientError) -> HTTPEvent? {
        do {
            return try await events.next()
        } catch {
            throw error as? ClientError ?? .transport(request: request, reason: "\(error)")
        }
    }

    var encoding: WireEncoding {
        get throws(ClientError) {
            if let encoding = WireEncoding(contentType: head.contentType) { return encoding }
            throw .malformed(
                request: request,
                reason: "it is \"\(head.contentType)\", neither protobuf nor JSON;"
                    + " is this the address of an API server?"
            )
        }
    }

    /// Adds the request to the error when its answer cannot be read.
    func read<Value>(_ body: () throws(WireError) -> Value) throws(ClientError) -> Value {
        do throws(WireError) {
            return try body()
        } catch {
            throw .malformed(request: request, reason: error.description)
        }
    }

    func hand<Object>(
        _ event: WatchEvent<Object>,
        to body: (WatchEvent<Object>) async -> Bool
    ) async throws(ClientError) -> Bool {
        if case .error(let status) = event.payload { throw .status(request: request, status) }
        return await body(event)
    }
}
