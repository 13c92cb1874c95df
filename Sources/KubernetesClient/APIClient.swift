internal import FoundationEssentials
internal import KubernetesModel

/// Asks an API server, in JSON.
package struct APIClient: Sendable {
    package let credentials: Credentials
    private let transport: HTTPTransport

    package init(_ credentials: Credentials) {
        self.credentials = credentials
        transport = HTTPTransport()
    }

    /// Every object of a kind, those that cannot be read as messages, and the list's version.
    package func list<Object: Resource>(
        _: Object.Type,
        nodeName: String
    ) async throws(ClientError) -> (objects: [Object], unreadable: [String], version: String) {
        let path = "\(Object.path)?resourceVersion=0&\(Object.query(nodeName: nodeName))"
        var body: [UInt8] = []
        try await stream(path, idleLimit: .seconds(60)) {
            body += $0; return true
        }
        let list: ListBody<Object>
        do {
            list = try JSONDecoder().decode(ListBody<Object>.self, from: Data(body))
        } catch {
            throw .malformed(url: credentials.server + path, reason: Self.reason(error))
        }
        var objects: [Object] = []
        var unreadable: [String] = []
        for item in list.items ?? [] {
            switch item.object {
            case .success(let object): objects.append(object)
            case .failure(let error): unreadable.append("\(error)")
            }
        }
        return (objects, unreadable, list.metadata.resourceVersion ?? "")
    }

    /// Hands each event since the version to the body, until the server ends the watch.
    func watch<Object: Resource>(
        _: Object.Type,
        nodeName: String,
        from version: String,
        _ body: (WatchEvent<Object>) async -> Void
    ) async throws(ClientError) {
        let timeout = Int.random(in: 300..<600)
        let path =
            "\(Object.path)?watch=true&allowWatchBookmarks=true&resourceVersion=\(version)"
            + "&timeoutSeconds=\(timeout)&\(Object.query(nodeName: nodeName))"
        var lines = LineSplitter()
        var failure: ClientError?
        try await stream(path, idleLimit: .seconds(180)) { bytes in
            guard let complete = lines.append(bytes) else {
                failure = .malformed(
                    url: credentials.server + path,
                    reason: "an event of more than \(LineSplitter.limit) bytes"
                )
                return false
            }
            for line in complete {
                do {
                    let event = try JSONDecoder().decode(WatchEvent<Object>.self, from: Data(line))
                    if case .error(let code, let message) = event.payload {
                        failure = .status(
                            url: credentials.server + path,
                            code: code,
                            message: message
                        )
                        return false
                    }
                    await body(event)
                } catch {
                    failure = .malformed(
                        url: credentials.server + path,
                        reason: Self.reason(error)
                    )
                    return false
                }
            }
            return true
        }
        if let failure { throw failure }
    }

    /// Hands the body of a 200 over as it arrives, until `false` comes back.
    private func stream(
        _ path: String,
        idleLimit: Duration,
        _ body: ([UInt8]) async -> Bool
    ) async throws(ClientError) {
        let events = try transport.get(
            path,
            credentials,
            accept: "application/json",
            idleLimit: idleLimit
        )
        var status = 0
        var retryAfter = Duration.zero
        var errorBody: [UInt8] = []
        do {
            for try await event in events {
                switch event {
                case .head(let code, let pause): (status, retryAfter) = (code, pause)
                case .body(let bytes) where status == 200:
                    guard await body(bytes) else { return }
                case .body(let bytes):
                    if errorBody.count < 64 << 10 { errorBody += bytes }
                }
            }
        } catch let error as ClientError {
            throw error
        } catch {
            throw .transport(url: credentials.server + path, reason: "\(error)")
        }
        guard status != 200, !Task.isCancelled else { return }
        throw .status(
            url: credentials.server + path,
            code: status,
            message: Self.message(errorBody),
            retryAfter: retryAfter
        )
    }

    /// The message of a Status, or the text as it is.
    private static func message(_ body: [UInt8]) -> String {
        if let status = try? JSONDecoder().decode(Status.self, from: Data(body)),
            let message = status.message
        {
            return message
        }
        return String(decoding: body.prefix(300), as: UTF8.self)
    }

    private static func reason(_ error: any Error) -> String {
        (error as? DecodingError).map { "\($0.fieldProblem)" } ?? "\(error)"
    }
}
