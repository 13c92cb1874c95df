internal import EmbeddedAPIServer
internal import Glibc
internal import NetworkNamespaces
internal import NetworkTypes

/// What is checked on every network, with real packets.
struct NetworkChecks {
    enum Result {
        case passed
        case failed(String)
        /// It does not apply to this network or family, or cannot work there.
        case left(String)

        /// Expects the check to fail, for a reason; nil: it has to pass.
        func excused(_ reason: String?) -> Result {
            guard let reason else { return self }
            switch self {
            case .passed: return .failed("it passes, although \(reason)")
            case .failed: return .left(reason)
            case .left: return self
            }
        }
    }

    /// The names of the checks, in their order.
    static let names = [
        "pod → Service, same node", "pod → Service, other nodes", "pod → itself",
        "node → Service", "outside → NodePort, Cluster", "outside → NodePort, Local",
        "outside → LoadBalancer IP", "UDP", "session affinity", "large transfers",
        "path MTU discovery", "strict reverse path filter", "an endpoint leaves under traffic",
        "a node leaves", "host port of portmap", "node → NodePort, Local, endpoint elsewhere",
        "ingress", "bridged packets past the rules",
    ]

    let cluster: Cluster
    let services: NetworkServices
    let family: IPFamily
    private let mode: ProxyMode
    /// The addresses of the first node, through which most connections go.
    let nodeAddresses: Set<String>

    init(
        _ cluster: Cluster,
        _ services: NetworkServices,
        _ family: IPFamily,
        _ mode: ProxyMode
    ) throws {
        self.mode = mode
        self.cluster = cluster
        self.services = services
        self.family = family
        nodeAddresses = try Self.addresses(cluster.topology.nodes[0])
    }

    var topology: Topology { cluster.topology }
    var kind: NetworkKind { topology.kind }
    var pod: Topology.Pod { topology.pods[0] }
    var clientAddress: String {
        family == .ipv4 ? Topology.clientAddress : Topology.clientAddress6
    }
    func address(_ pod: Topology.Pod) -> String {
        family == .ipv4 ? pod.address : pod.address6
    }
    func address(_ node: Topology.Node) -> String {
        family == .ipv4 ? node.address : node.address6
    }

    /// Runs the checks, and hands over each result.
    func run(_ report: (String, Result) -> Void) async throws {
        let checks: [() async throws -> Result] = [
            { try podToNearPod() }, { try podToOtherNodes() }, { try podToItself() },
            { try fromNode() }, { try nodePort() }, { try localNodePort() }, { try loadBalancer() },
            { try datagrams() }, { try affinity() }, { try transfers() }, { try pathMTU() },
            { try strictReversePath() }, { try await leavingEndpoint() },
            { try await leavingNode() }, { try hostPort() }, { try fromNodeToLocal() },
            { try ingress() }, { try bridgedPackets() },
        ]
        for (name, check) in zip(Self.names, checks) {
            let result = try await check()
            report(name, result.excused(kind.limit(of: name, family, mode)))
        }
    }

    /// Waits until every proxy has programmed every Service.
    func waitUntilProgrammed() throws {
        let everything =
            [services.all, services.local, services.sticky, services.own] + services.far
        for node in topology.nodes {
            for service in everything {
                let probe = Probe(target: try clusterIP(service))
                var outcome = Probe.Outcome.silent
                try waitUntil("\(node.name) does not reach \(probe.target): \(outcome)") {
                    outcome = try probe.send(from: node.namespace)
                    return outcome.isAnswer
                }
            }
        }
    }

    // MARK: The checks

    private func podToNearPod() throws -> Result {
        try expect(from: pod.namespace, try clusterIP(services.near), services.near.pods, seenAsPod)
    }

    func podToOtherNodes() throws -> Result {
        try first(services.far) {
            try expect(from: pod.namespace, try clusterIP($0), $0.pods, seenAsPod)
        }
    }

    /// The pod is masqueraded, since it would not take an answer from itself.
    func podToItself() throws -> Result {
        try expect(from: pod.namespace, try clusterIP(services.own), [pod], nodeAddresses)
    }

    func fromNode() throws -> Result {
        let node = topology.nodes[0].namespace
        return try first([services.own, services.near] + services.far) {
            try expect(from: node, try clusterIP($0), $0.pods, nodeAddresses)
        }
    }

    /// Policy Local is for those outside only.
    private func fromNodeToLocal() throws -> Result {
        let node = topology.nodes[0]
        let target = try FrontendKey(address(node), .tcp, services.farLocal.nodePort)
        return try expect(from: node.namespace, target, services.farLocal.pods, nodeAddresses)
    }

    func nodePort() throws -> Result {
        try first([services.own, services.near] + services.far) {
            let target = try FrontendKey(address(topology.nodes[0]), .tcp, $0.nodePort)
            return try expect(from: topology.client, target, $0.pods, seenAsClient)
        }
    }

    func localNodePort() throws -> Result {
        try first(topology.nodes) { node in
            let target = try FrontendKey(address(node), .tcp, services.local.nodePort)
            let pods = topology.pods.filter { $0.node.index == node.index }
            return try expect(from: topology.client, target, pods, [clientAddress])
        }
    }

    private func loadBalancer() throws -> Result {
        guard family == .ipv4 else { return .left("the lab's load balancer has IPv4 only") }
        let all = try FrontendKey(services.all.loadBalancerIP, .tcp, 80)
        let local = try FrontendKey(services.local.loadBalancerIP, .tcp, 80)
        let pods = topology.pods.filter { $0.node.index == 1 }
        let result = try expect(from: topology.client, all, topology.pods, seenAsClient)
        guard case .passed = result else { return result }
        return try expect(from: topology.client, local, pods, [clientAddress])
    }

    private func datagrams() throws -> Result {
        let inside = try first(services.far) {
            try expect(from: pod.namespace, try clusterIP($0, .udp, 53), $0.pods, seenAsPod)
        }
        guard case .passed = inside else { return inside }
        return try first(services.far) {
            let target = try FrontendKey(address(topology.nodes[0]), .udp, $0.nodePort + 1)
            return try expect(from: topology.client, target, $0.pods, nodeAddresses)
        }
    }

    private func affinity() throws -> Result {
        let nodePort = try FrontendKey(address(topology.nodes[0]), .tcp, services.sticky.nodePort)
        for (namespace, target) in [
            (pod.namespace, try clusterIP(services.sticky)), (topology.client, nodePort),
        ] {
            let pods = try Set(
                (0..<12).map { _ in try probe(target, from: namespace).pod ?? "nobody" }
            )
            guard pods.count == 1, !pods.contains("nobody") else {
                return .failed("\(target): \(pods.sorted().joined(separator: ", "))")
            }
        }
        return .passed
    }

    private func transfers() throws -> Result {
        try first(services.far) {
            let nodePort = try FrontendKey(address(topology.nodes[0]), .tcp, $0.nodePort + 2)
            for (namespace, target) in [
                (pod.namespace, try clusterIP($0, .tcp, 90)), (topology.client, nodePort),
            ] {
                if let failure = try Transfer(target: target).failure(from: namespace) {
                    return .failed("\(target): \(failure)")
                }
            }
            return .passed
        }
    }

    /// Pods believe in an MTU that the way to other nodes does not have; routers tell them.
    private func pathMTU() throws -> Result {
        guard let wiring = kind.overlayMTU else { return .left("every link has the same MTU") }
        let pods = [pod] + services.far.flatMap(\.pods)
        try setMTU(1500, pods)
        let result = try transfers()
        try setMTU(wiring, pods)
        return result
    }

    private func setMTU(_ mtu: Int, _ pods: [Topology.Pod]) throws {
        for pod in pods {
            try pod.node.namespace.ip(["link set \(kind.portPrefix)\(pod.portNumber) mtu \(mtu)"])
            try pod.namespace.ip(["link set eth0 mtu \(mtu)"])
        }
    }

    private func strictReversePath() throws -> Result {
        guard family == .ipv4 else { return .left("IPv6 has no such setting") }
        for node in topology.nodes {
            try node.namespace.setSysctl("net/ipv4/conf/all/rp_filter", "1")
        }
        defer {
            for node in topology.nodes {
                try? node.namespace.setSysctl("net/ipv4/conf/all/rp_filter", "0")
            }
        }
        return try first([
            podToNearPod, podToOtherNodes, podToItself, fromNode, nodePort, localNodePort,
        ]) { try $0() }
    }

    private func leavingEndpoint() async throws -> Result {
        guard let gone = topology.pods.last else { return .left("there is no pod") }
        let target = try clusterIP(services.all)
        try await setEndpoints(topology.pods.dropLast())
        let deadline = ContinuousClock.now + .seconds(30)
        var streak = 0
        while streak < 200 {
            let outcome = try probe(target, from: pod.namespace)
            guard outcome.pod != nil else {
                return .failed("a connection to \(target): \(outcome)")
            }
            streak = outcome.pod == gone.name ? 0 : streak + 1
            guard .now < deadline else { return .failed("\(gone.name) goes on answering") }
        }
        try await setEndpoints(topology.pods)
        return .passed
    }

    /// The last node is unplugged; once its endpoints are gone from the Service, nobody waits.
    private func leavingNode() async throws -> Result {
        guard let node = topology.nodes.last, topology.nodes.count > 1 else {
            return .left("there is one node")
        }
        let staying = topology.pods.filter { $0.node.index != node.index }
        let target = try clusterIP(services.all)
        try topology.setPlugged(node, false)
        try await setEndpoints(staying)
        let isFollowed = { (pods: [Topology.Pod]) in
            try (0..<50).allSatisfy { _ in
                let outcome = try Probe(target: target).send(from: pod.namespace)
                return pods.contains { $0.name == outcome.pod }
            }
        }
        let deadline = ContinuousClock.now + .seconds(30)
        while try !isFollowed(staying) {
            guard .now < deadline else {
                return .failed("\(target) goes on leading to \(node.name)")
            }
        }
        try topology.setPlugged(node, true)
        try await setEndpoints(topology.pods)
        // It comes back when routes, neighbours and sessions have.
        let far = try clusterIP(services.far[services.far.count - 1])
        try waitUntil("\(far) stays away with \(node.name)") {
            try Probe(target: far).send(from: pod.namespace).isAnswer
        }
        return .passed
    }

    /// Makes pods the endpoints of the Service `all`.
    private func setEndpoints(_ pods: [Topology.Pod]) async throws {
        let slice = ServiceObjects.slicePath("all-\(family == .ipv4 ? 4 : 6)")
        let endpoints = pods.map { ServiceObjects.endpoint($0, address($0)) }
        try await cluster.request(
            "PATCH",
            slice,
            ["endpoints": .array(endpoints)],
            contentType: "application/merge-patch+json"
        )
    }

    /// A host port, which another program translates, works beside NodePorts.
    private func hostPort() throws -> Result {
        guard kind == .cniBridge || kind == .cniPTP else { return .left("no portmap here") }
        let target = try FrontendKey(address(topology.nodes[0]), .tcp, CNIWiring.hostPort)
        return try expect(from: topology.client, target, [pod], [clientAddress])
    }
}

// MARK: - Connections and expectations

extension NetworkChecks {
    /// The addresses that endpoints may see when the client pod connects.
    var seenAsPod: Set<String> {
        kind.masqueradesPods ? nodeAddresses : [address(pod)]
    }

    /// The addresses that endpoints may see when the client outside connects to the first node.
    private var seenAsClient: Set<String> {
        kind.showsClients ? nodeAddresses.union([clientAddress]) : nodeAddresses
    }

    func clusterIP(
        _ service: NetworkServices.Entry,
        _ transport: TransportProtocol = .tcp,
        _ port: UInt16 = 80
    ) throws -> FrontendKey {
        try FrontendKey(service.clusterIP(family), transport, port)
    }

    private func probe(_ target: FrontendKey, from namespace: Namespace) throws -> Probe.Outcome {
        try Probe(target: target, patience: 10).send(from: namespace)
    }

    /// Connects several times; only these pods may answer, and see only these addresses.
    func expect(
        from namespace: Namespace,
        _ target: FrontendKey,
        _ pods: [Topology.Pod],
        _ seen: Set<String>
    ) throws -> Result {
        for _ in 0..<max(4, 3 * pods.count) {
            let outcome = try probe(target, from: namespace)
            guard case .answered(let name, let client) = outcome,
                pods.contains(where: { $0.name == name }), seen.contains(client)
            else {
                return .failed("\(target) from \(namespace.name): \(outcome)")
            }
        }
        return .passed
    }

    /// Returns the first result that is not a success.
    func first<Element>(
        _ elements: [Element],
        _ check: (Element) throws -> Result
    ) rethrows -> Result {
        for element in elements {
            let result = try check(element)
            guard case .passed = result else { return result }
        }
        return .passed
    }

    /// Returns all addresses of a node.
    static func addresses(_ node: Topology.Node) throws -> Set<String> {
        let listed = try node.namespace.handle.run(["ip", "-o", "addr", "show"])
        return Set(
            listed.split(separator: "\n").compactMap { line in
                let words = line.split(separator: " ")
                return words.firstIndex { $0 == "inet" || $0 == "inet6" }
                    .flatMap { IPAddress(String(words[$0 + 1].prefix { $0 != "/" }))?.description }
            }
        )
    }
}
