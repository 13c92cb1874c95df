import EmbeddedAPIServer
import FoundationEssentials
@testable import KubernetesClient
import Logging
import TestSupport

/// The API server to test against: the embedded one, or a real one if available.
///
/// `KUBEBUILDER_ASSETS` names a folder with `kube-apiserver` and `etcd`, as for envtest.
enum ServerKind: String, CaseIterable, Sendable {
    case embedded
    case real

    static let available: [ServerKind] =
        ProcessInfo.processInfo.environment["KUBEBUILDER_ASSETS"] == nil
        ? [.embedded] : [.embedded, .real]
}

/// One API server, changed over HTTP as kubectl would.
final class TestCluster: Sendable {
    let client: APIClient
    private let server: APIServer?
    private let real: RealAPIServer?

    init(_ kind: ServerKind, _ encoding: WireEncoding = .protobuf) async throws {
        switch kind {
        case .embedded:
            let server = APIServer()
            let listener = try server.listen()
            listener.start()
            (self.server, real) = (server, nil)
            client = APIClient(Credentials(server: listener.url), encoding: encoding)
        case .real:
            let real = try await RealAPIServer()
            (server, self.real) = (nil, real)
            client = APIClient(real.credentials, encoding: encoding)
        }
    }

    deinit { stop() }

    func stop() {
        server?.stop()
        real?.stop()
    }

    /// Creates an object, or replaces it.
    func put(_ path: String, _ object: JSONValue) async throws {
        let body = Array(try JSONEncoder().encode(object))
        do {
            try await client.send("POST", path, body)
        } catch {
            guard error.status?.code == 409 else { throw error }
            let name = object["metadata"]["name"].string ?? ""
            try await client.send("PUT", "\(path)/\(name)", body)
        }
    }

    func get(_ path: String) async throws -> JSONValue {
        try JSONDecoder().decode(JSONValue.self, from: Data(try await client.send("GET", path)))
    }

    func delete(_ path: String) async throws { try await client.send("DELETE", path) }
}

/// The objects that tests use.
enum Sample {
    static let services = "/api/v1/namespaces/default/services"
    static let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"

    static func service(_ name: String, port: Int64 = 80, labels: JSONValue = [:]) -> JSONValue {
        [
            "apiVersion": "v1", "kind": "Service",
            "metadata": ["name": .string(name), "labels": labels],
            "spec": ["ports": [["name": "http", "port": .integer(port)]]],
        ]
    }

    static func slice(_ name: String, _ addresses: [String]) -> JSONValue {
        [
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": [
                "name": .string(name), "labels": ["kubernetes.io/service-name": "web"],
            ],
            "ports": [["name": "http", "port": 8080]],
            "endpoints": .array(addresses.map { ["addresses": [.string($0)]] }),
        ]
    }
}

/// The events of an informer, for a test to wait for.
struct Observed<Object: Resource> {
    private var events: AsyncStream<Informer<Object>.Event>.Iterator
    private let task: Task<Void, Never>
    /// The objects by name.
    private(set) var view: [String: Object] = [:]
    private(set) var log: [String] = []
    private(set) var history: [Informer<Object>.Event] = []

    init(_ informer: Informer<Object>) {
        let (stream, continuation) = AsyncStream<Informer<Object>.Event>.makeStream()
        events = stream.makeAsyncIterator()
        task = Task { await informer.run { event, _ in continuation.yield(event) } }
    }

    init(_ client: APIClient, node: String = "here", isOptional: Bool = false) {
        self.init(
            Informer(
                client,
                nodeName: node,
                isOptional: isOptional,
                firstPause: .milliseconds(5),
                logger: .silent
            )
        )
    }

    /// Waits for the next event, and returns a description of it.
    @discardableResult
    mutating func next() async -> String {
        guard let event = await events.next() else { return "end" }
        history.append(event)
        let text: String
        switch event {
        case .replaced(let list, let unreadable):
            view = view.filter { unreadable.contains($0.value.objectName) }
            for object in list { view[object.objectName.name] = object }
            text = "list \(list.map(\.objectName.name).sorted().joined(separator: ","))"
        case .set(let object):
            view[object.objectName.name] = object
            text = "set \(object.objectName.name)"
        case .removed(let name):
            view[name.name] = nil
            text = "removed \(name.name)"
        case .refused: text = "refused"
        }
        log.append(text)
        return text
    }

    mutating func wait(until condition: ([String: Object]) -> Bool) async {
        while !condition(view) { await next() }
    }

    func stop() { task.cancel() }
}

extension Logger {
    static var silent: Logger { Logger(label: "test") { _ in SwiftLogNoOpLogHandler() } }
}
