internal import FoundationEssentials
internal import Glibc
internal import Synchronization
internal import Threads

/// Enough of a Kubernetes API server for kubectl and needletail, in this process.
///
/// Objects live in memory. Nothing is authenticated unless a token is asked for.
package final class APIServer: Sendable {
    package struct Configuration: Sendable {
        package enum WatchList: Sendable {
            case served
            /// 422, as with the feature gate off.
            case refused
            /// The parameter is not known: a watch without an end of the initial events.
            case unknown
        }

        package var watchList = WatchList.served
        /// Whether protobuf is served; 406 otherwise.
        package var hasProtobuf = true
        package var bookmarkInterval = Duration.seconds(60)
        /// Requests without it get 401.
        package var token: String?

        package init() {}
    }

    package let configuration: Configuration
    let store = ObjectStore()
    let faults = FaultQueue()
    let addresses = AddressAllocator()
    private let sockets = Mutex<(listeners: [Int32], connections: Set<Int32>)>(([], []))
    private let log = Mutex<[String]>([])

    package init(_ configuration: Configuration = Configuration()) {
        self.configuration = configuration
        // As every cluster has them.
        _ = try? apply(["kind": "Namespace", "metadata": ["name": "default"]])
        _ = try? apply([
            "kind": "ServiceCIDR", "metadata": ["name": "kubernetes"],
            "spec": ["cidrs": ["10.96.0.0/16", "fd96::/108"]],
        ])
    }

    /// Methods and targets of the requests so far.
    package var requests: [String] { log.withLock { $0 } }

    // MARK: Its own side: what a controller or an evil network would do

    package func inject(_ fault: Fault) { faults.add(fault) }

    package func clearFaults() { faults.clear() }

    /// Forgets old versions: watches and pages from before get 410.
    package func compact() { store.compact() }

    /// The version of the last change.
    package var version: Int64 { store.version }

    /// Creates an object, or replaces it with its status; returns the version.
    @discardableResult
    package func apply(_ object: JSONValue) throws -> Int64 {
        guard let kind = ResourceKind.all.first(where: { $0.kind == object["kind"].string }),
            let name = object["metadata"]["name"].string
        else { throw APIStatus.badRequest("no kind or name of an object that can be stored") }
        let namespace = kind.isNamespaced ? object["metadata"]["namespace"].string ?? "default" : ""
        let key = kind.key(namespace, name)
        return try store.update(kind, key) { before, _ throws(APIStatus) in
            try admit(object, kind, namespace, replacing: before?.object, keepsStatus: false)
        }.version
    }

    /// Returns the version; nil if there was no such object.
    @discardableResult
    package func delete(_ kind: String, _ namespace: String, _ name: String) -> Int64? {
        guard let kind = ResourceKind.all.first(where: { $0.kind == kind }) else { return nil }
        return try? store.update(kind, kind.key(namespace, name)) { _, _ in nil }.version
    }

    /// The objects of a kind.
    package func objects(_ kind: String) -> [JSONValue] {
        guard let kind = ResourceKind.all.first(where: { $0.kind == kind }) else { return [] }
        return store.list(kind, at: nil)?.objects.map(\.object) ?? []
    }

    /// An element at once, and after every change.
    package var changes: AsyncStream<Void> {
        let (stream, continuation) = AsyncStream<Void>.makeStream(
            bufferingPolicy: .bufferingNewest(1)
        )
        let bell = Bell()
        store.addWaiter(ObjectIdentifier(bell)) { continuation.yield() }
        continuation.onTermination = { [store] _ in store.removeWaiter(ObjectIdentifier(bell)) }
        continuation.yield()
        return stream
    }

    private final class Bell: Sendable {}

    // MARK: Connections

    /// Listens on an IPv4 address in the network namespace of this thread; port 0 takes any.
    ///
    /// Answering begins with `start`, outside of the namespace: a thread that is started inside
    /// stays there.
    package func listen(_ address: String = "127.0.0.1", port: UInt16 = 0) throws -> Listener {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        inet_pton(AF_INET, address, &name.sin_addr)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let size = length
        let bound = withUnsafeMutablePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { socket in
                guard bind(descriptor, socket, size) == 0, Glibc.listen(descriptor, 64) == 0 else {
                    return false
                }
                return getsockname(descriptor, socket, &length) == 0
            }
        }
        guard bound else {
            close(descriptor)
            throw APIStatus(
                code: 500,
                reason: "InternalError",
                message: "cannot listen on \(address):\(port): \(String(cString: strerror(errno)))"
            )
        }
        sockets.withLock { $0.listeners.append(descriptor) }
        return Listener(
            address: address,
            port: UInt16(bigEndian: name.sin_port),
            descriptor: descriptor,
            server: self
        )
    }

    /// A listening socket that nobody answers on yet.
    package struct Listener: Sendable {
        fileprivate let address: String
        package let port: UInt16
        fileprivate let descriptor: Int32
        fileprivate let server: APIServer

        package var url: String { "http://\(address):\(port)" }

        package func start() {
            startThread { [descriptor, server] in
                while case let connection = accept(descriptor, nil, nil), connection >= 0 {
                    server.adopt(connection)
                }
                close(descriptor)
            }
        }
    }

    /// Hangs up on everybody and listens no more.
    package func stop() {
        let (listeners, connections) = sockets.withLock { sockets in
            defer { sockets.listeners = [] }
            return (sockets.listeners, sockets.connections)
        }
        for descriptor in listeners { shutdown(descriptor, Int32(SHUT_RDWR)) }
        for descriptor in connections { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }

    private func adopt(_ descriptor: Int32) {
        let isOpen = sockets.withLock { sockets in
            if !sockets.listeners.isEmpty { sockets.connections.insert(descriptor) }
            return !sockets.listeners.isEmpty
        }
        guard isOpen else {
            close(descriptor)
            return
        }
        startThread { [self] in
            var connection = Connection(descriptor)
            do {
                while let request = try connection.nextRequest() {
                    let query = request.query.sorted { $0.key < $1.key }
                        .map { "\($0.key)=\($0.value)" }.joined(separator: "&")
                    log.withLock { $0.append("\(request.method) \(request.path)?\(query)") }
                    try answer(request, connection)
                }
            } catch {
                // The client went away, or a fault took the connection: it is closed below.
            }
            _ = sockets.withLock { $0.connections.remove(descriptor) }
            close(descriptor)
        }
    }
}

extension ResourceKind {
    func key(_ namespace: String, _ name: String) -> String {
        isNamespaced ? "\(namespace)/\(name)" : name
    }
}
