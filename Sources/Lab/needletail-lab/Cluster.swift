internal import Dispatch
internal import EmbeddedAPIServer
internal import FoundationEssentials
internal import Glibc
internal import KubernetesClient
internal import NetworkTypes
internal import Synchronization

/// A running lab: namespaces, pods that answer, an API server, and needletail on each node.
final class Cluster: Sendable {
    let topology: Topology
    let directory: String
    private let servers: [PodServer]
    private let daemons = Processes()
    /// The proxies by the nodes' indices.
    private let proxies = Mutex<[Int: (child: pid_t, mode: ProxyMode)]>([:])
    private let api = APIServer()
    private let outsidePort = Mutex<UInt16>(0)
    private let ingressServer = Mutex<IngressServer?>(nil)

    init(_ layout: ClusterLayout, network: NetworkKind = .bridge) throws {
        guard geteuid() == 0 else {
            throw LabError("network namespaces need root; run it with sudo")
        }
        if let lack = network.lack { throw LabError("network \(network.rawValue): \(lack)") }
        try Namespace.removeAll()
        directory = FileManager.default.temporaryDirectory.path() + "needletail-lab-\(getpid())"
        topology = Topology(layout, kind: network, directory: directory)
        do {
            try FileManager.default.createDirectory(
                atPath: "\(directory)/logs",
                withIntermediateDirectories: true
            )
            try topology.build()
            servers = try topology.pods.map {
                try PodServer($0)
            }
        } catch {
            topology.stop()
            try? Namespace.removeAll()
            try? FileManager.default.removeItem(atPath: directory)
            throw error
        }
    }

    // MARK: The API server

    /// Serves the API on the nodes' network and on this machine's loopback; works again after
    /// `stopAPI`.
    func startAPI() throws {
        let inside = try topology.api.inside {
            try api.listen(Topology.apiAddress, port: Topology.apiPort)
        }
        let outside = try api.listen(port: outsidePort.withLock { $0 })
        outsidePort.withLock { $0 = outside.port }
        inside.start()
        outside.start()
    }

    func stopAPI() { api.stop() }

    /// The number of requests for EndpointSlices: lists and watches.
    var slicesRequests: Int { api.requests.count { $0.contains("/endpointslices?") } }

    /// The URL of the API server on this machine.
    var apiURL: String { "http://127.0.0.1:\(outsidePort.withLock { $0 })" }

    /// Sends a request that changes something, as kubectl would.
    func request(
        _ method: String,
        _ path: String,
        _ body: JSONValue,
        contentType: String = "application/json"
    ) async throws {
        let client = APIClient(Credentials(server: apiURL))
        let body = Array(try JSONEncoder().encode(body))
        try await client.send(method, path, body, contentType: contentType)
    }

    /// Creates the nodes, the namespaces and the objects, and gives Services their load balancers.
    ///
    /// - Parameters:
    ///   - objects: Services and EndpointSlices; a status takes its own way
    ///   - loadBalancers: addresses by the names of Services in the lab's usual namespace
    func create(_ objects: [JSONValue], loadBalancers: [String: String] = [:]) async throws {
        for node in topology.nodes {
            try await request("POST", "/api/v1/nodes", node.object(topology.kind))
        }
        var namespaces = Set(objects.compactMap { $0["metadata"]["namespace"].string })
        namespaces.insert(ServiceObjects.namespace)
        for name in namespaces.sorted() where name != "default" {
            try await request(
                "POST",
                "/api/v1/namespaces",
                ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(name)]]
            )
        }
        for object in objects {
            let metadata = object["metadata"]
            let namespace = metadata["namespace"].string ?? ServiceObjects.namespace
            guard object["kind"] == "Service" else {
                let path = "/apis/discovery.k8s.io/v1/namespaces/\(namespace)/endpointslices"
                try await request("POST", path, object)
                continue
            }
            let services = "/api/v1/namespaces/\(namespace)/services"
            try await request("POST", services, object)
            let name = metadata["name"].string ?? ""
            let status =
                loadBalancers[name].map { ServiceObjects.status(loadBalancerIP: $0)["status"] }
                ?? object["status"]
            guard status != .null else { continue }
            try await request(
                "PATCH",
                "\(services)/\(name)/status",
                ["status": status],
                contentType: "application/merge-patch+json"
            )
        }
    }

    /// Starts needletail on each node.
    func startProxies(mode: ProxyMode = .nftables) throws {
        let binary = try Self.program("needletail")
        for node in topology.nodes {
            try startProxy(of: node, binary, mode, topology.kind.detection)
        }
    }

    private func startProxy(
        of node: Topology.Node,
        _ binary: String,
        _ mode: ProxyMode,
        _ detection: [String]
    ) throws {
        let child = try daemons.start(
            [
                binary, "run", "--hostname-override", node.name,
                "--node-ip", "\(node.address),\(node.address6)",
                "--master", "http://\(Topology.apiAddress):\(Topology.apiPort)",
                "--mode", mode.rawValue,
            ] + detection,
            in: node.namespace,
            log: log(of: node)
        )
        proxies.withLock { $0[node.index] = (child, mode) }
    }

    /// Starts the proxy of a node anew, and waits until it is ready.
    ///
    /// - Parameter detection: the flags by which it tells the node's pods
    func restartProxy(of node: Topology.Node, detection: [String]) throws {
        guard let (child, mode) = proxies.withLock({ $0[node.index] }) else {
            throw LabError("\(node.name) has no proxy")
        }
        daemons.stop(child)
        try startProxy(of: node, try Self.program("needletail"), mode, detection)
        let ready = try FrontendKey("127.0.0.1", .tcp, 10_256)
        let request = HTTPRequest(path: "/readyz")
        try waitUntil("the proxy of \(node.name) is not ready", pause: .milliseconds(5)) {
            let outcome = try request.send(to: ready, from: node.namespace, patience: 1)
            if case .answered(let answer) = outcome { return answer.status == 200 }
            return false
        }
    }

    /// Starts an nginx in the pod that is the ingress.
    func startIngress(_ rules: [IngressRule]) throws {
        guard let pod = topology.ingress else { throw LabError("no pod is the ingress") }
        let server = try IngressServer(rules, in: pod, directory: directory)
        ingressServer.withLock { $0 = server }
    }

    var ingress: IngressServer? { ingressServer.withLock { $0 } }

    private func log(of node: Topology.Node) -> String { "\(directory)/logs/\(node.name).log" }

    /// Returns the path of a program in the same directory as this one.
    static func program(_ name: String) throws -> String {
        guard let own = realpath("/proc/self/exe", nil) else { throw LabError("/proc is missing") }
        defer { free(own) }
        let path = String(cString: own).split(separator: "/").dropLast().map { "/\($0)" }.joined()
        return "\(path)/\(name)"
    }

    /// The logs of the proxies, to print after a failure.
    var logs: String {
        topology.nodes.map { node in
            let text = try? String(contentsOfFile: log(of: node), encoding: .utf8)
            return "\(node.name):\n\(text ?? "")"
        }.joined(separator: "\n")
    }

    /// Removes everything; it is safe to call this twice.
    func tearDown() {
        ingress?.stop()
        daemons.stop()
        api.stop()
        for server in servers { server.stop() }
        topology.stop()
        try? Namespace.removeAll()
        try? FileManager.default.removeItem(atPath: directory)
    }
}

extension Topology.Node {
    /// The Node object that a kubelet would create.
    fileprivate func object(_ kind: NetworkKind) -> JSONValue {
        [
            "apiVersion": "v1", "kind": "Node",
            "metadata": [
                "name": .string(name), "labels": ["kubernetes.io/hostname": .string(name)],
                "annotations": [LiveServices.networkAnnotation: .string(kind.rawValue)],
            ],
            "spec": [
                "podCIDR": .string(podCIDR),
                "podCIDRs": [.string(podCIDR), .string(podCIDR6)],
            ],
        ]
    }
}

/// Calls the closure when the process receives a signal to stop, and then exits.
func onInterrupt(_ body: @escaping @Sendable () -> Void) -> [any DispatchSourceSignal] {
    [SIGINT, SIGTERM, SIGHUP].map { number in
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
        source.setEventHandler {
            body()
            exit(128 + number)
        }
        source.activate()
        return source
    }
}
