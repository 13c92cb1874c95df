internal import FoundationEssentials
internal import Glibc
internal import Synchronization
internal import Threads

/// An API server inside this process, complete enough for kubectl and needletail.
///
/// Objects live in memory. Requests are not authenticated unless a token is configured.
package final class APIServer: Sendable {
    package struct Configuration: Sendable {
        package enum WatchList: Sendable {
            case served
            /// The server answers 422, as with the feature gate off.
            case refused
            /// The server ignores the parameter, and sends a watch without an end of the initial
            /// events.
            case unknown
        }

        /// What the server does with `drop=metadata.managedFields` in Accept (KEP-5958).
        package enum DropParameter: Sendable {
            /// The feature gate is off, or the server is older than Kubernetes 1.38.
            case ignored
            case known
            /// The server answers 406, as something in front of it might.
            case refused
        }

        package var watchList = WatchList.served
        package var drop = DropParameter.ignored
        /// Whether protobuf is served; otherwise it is refused with 406.
        package var hasProtobuf = true
        package var bookmarkInterval = Duration.seconds(60)
        /// The token that requests need; others get 401.
        package var token: String?
        /// The rules of the role that everybody has; nil: everybody may do everything.
        package var rules: [PolicyRule]?

        package init() {}
    }

    package let configuration: Configuration
    let store = ObjectStore()
    let faults = FaultQueue()
    let authorizer: Authorizer
    let addresses = AddressAllocator()
    private let sockets = Mutex<(listeners: [Int32], connections: Set<Int32>)>(([], []))
    private let log = Mutex<[(target: String, headers: [String: String])]>([])

    package init(_ configuration: Configuration = Configuration()) {
        self.configuration = configuration
        authorizer = Authorizer(configuration.rules)
        // Every cluster has these objects.
        _ = try? apply(["kind": "Namespace", "metadata": ["name": "default"]])
        _ = try? apply([
            "kind": "ServiceCIDR", "metadata": ["name": "kubernetes"],
            "spec": ["cidrs": ["10.96.0.0/16", "fd96::/108"]],
        ])
    }

    /// The methods and targets of the requests so far.
    package var requests: [String] { log.withLock { $0.map(\.target) } }
    /// The headers of the requests so far, with their names in lower case.
    package var requestHeaders: [[String: String]] { log.withLock { $0.map(\.headers) } }

    // MARK: Access from this process, as a controller or a hostile network

    package func inject(_ fault: Fault) { faults.add(fault) }

    package func clearFaults() { faults.clear() }

    /// Forgets old versions, so that watches and pages from before get 410.
    package func compact() { store.compact() }

    /// Makes changes that watches see all at once, when the closure has returned.
    package func together(_ changes: () throws -> Void) rethrows {
        store.hold()
        defer { store.release() }
        try changes()
    }

    /// The version of the last change.
    package var version: Int64 { store.version }

    /// Creates an object, or replaces it together with its status; returns the version.
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

    /// Deletes an object and returns the version; nil if there was no such object.
    @discardableResult
    package func delete(_ kind: String, _ namespace: String, _ name: String) -> Int64? {
        guard let kind = ResourceKind.all.first(where: { $0.kind == kind }) else { return nil }
        return try? store.update(kind, kind.key(namespace, name)) { _, _ in nil }.version
    }

    /// Returns the objects of a kind.
    package func objects(_ kind: String) -> [JSONValue] {
        guard let kind = ResourceKind.all.first(where: { $0.kind == kind }) else { return [] }
        return store.list(kind)?.objects.map(\.object) ?? []
    }

    /// What requests needed and were allowed to do.
    package var usedPermissions: Set<Permission> { authorizer.used }
    /// What requests needed and were forbidden.
    package var refusedPermissions: Set<Permission> { authorizer.refused }

    /// A stream that yields at once, and after every change.
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

    /// Listens on an IPv4 address in the network namespace of this thread; port 0 takes any free
    /// one.
    ///
    /// Requests are answered after `start`, to be called outside the namespace, because a thread
    /// that is started inside stays there.
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

    /// A listening socket that is not served before `start`.
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
                server.sockets.withLock {
                    $0.listeners.removeAll { $0 == descriptor }
                    close(descriptor)
                }
            }
        }
    }

    /// Closes all connections; new ones are accepted.
    package func disconnect() {
        sockets.withLock { sockets in
            for descriptor in sockets.connections { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// Closes all connections and stops listening.
    package func stop() {
        // Nobody closes a descriptor meanwhile, whose number might be another socket's then.
        sockets.withLock { sockets in
            for descriptor in sockets.listeners { shutdown(descriptor, Int32(SHUT_RDWR)) }
            for descriptor in sockets.connections { shutdown(descriptor, Int32(SHUT_RDWR)) }
            sockets.listeners = []
        }
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
                    let target = "\(request.method) \(request.path)?\(query)"
                    log.withLock { $0.append((target, request.headers)) }
                    try answer(request, connection)
                }
            } catch {
                // The client went away, or a fault broke the connection; it is closed below.
            }
            sockets.withLock {
                $0.connections.remove(descriptor)
                close(descriptor)
            }
        }
    }
}

extension ResourceKind {
    func key(_ namespace: String, _ name: String) -> String {
        isNamespaced ? "\(namespace)/\(name)" : name
    }
}
