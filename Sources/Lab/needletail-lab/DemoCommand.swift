internal import ArgumentParser
internal import EmbeddedAPIServer
internal import FoundationEssentials
internal import Glibc
internal import NetworkTypes

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Build a cluster, balance real connections, show who answered."
    )

    @Option(help: "Connections for each row of the table.")
    var connections = 240

    func run() async throws {
        try await showServices()
        try await showOverlay()
        print("\nThe lab is taken down; nothing of it stays on this machine.")
    }

    /// The checks of `needletail-lab networks` on one overlay.
    private func showOverlay() async throws {
        print("\nAnother cluster, whose pods are on flannel's VXLAN (docs/networks.md has others):")
        let run = NetworkRun(kind: .flannelVXLAN, mode: .nftables, nodeCount: 2)
        var isGood = true
        try await run.check([.ipv4]) { _, results in
            for (name, result) in results {
                switch result {
                case .passed: print("  passed: \(name)")
                case .failed(let reason):
                    print("  failed: \(name): \(reason)")
                    isGood = false
                case .left: break
                }
            }
        }
        guard isGood else { throw ExitCode.failure }
    }

    private func showServices() async throws {
        let cluster = try Cluster(ClusterLayout(nodeCount: 3))
        let interrupts = onInterrupt { cluster.tearDown() }
        defer { withExtendedLifetime(interrupts) { cluster.tearDown() } }
        do {
            try await Demo(cluster: cluster, connections: connections).run()
        } catch {
            print("\nThe demonstration failed: \(error)\n\(cluster.logs)")
            throw ExitCode.failure
        }
    }
}

struct Demo {
    let cluster: Cluster
    let connections: Int

    private var topology: Topology { cluster.topology }

    func run() async throws {
        describe()
        try cluster.startAPI()
        try await cluster.create(
            SampleServices(pods: topology.pods).objects,
            loadBalancers: SampleServices.loadBalancers
        )
        try cluster.startProxies()
        let clusterIP = try FrontendKey(SampleServices.clusterIP, .tcp, 80)
        for pod in topology.pods { try wait(for: clusterIP, from: pod.namespace) { $0.isAnswer } }
        try showTable(clusterIP)
        try await removeEndpoint(clusterIP)
        try await restartAPI(clusterIP)
    }

    private func describe() {
        print(
            "A cluster in network namespaces: an API server, 3 nodes, 6 pods, one client outside.\n"
        )
        for node in topology.nodes {
            let pods = topology.pods.filter { $0.node.index == node.index }
                .map { "\($0.name) \($0.address)" }.joined(separator: ", ")
            print("  \(node.name) \(node.address): \(pods)")
        }
        print(
            """

            Service shop/web, LoadBalancer, externalTrafficPolicy Local, IPv4 and IPv6:
              cluster IPs \(SampleServices.clusterIP), \(SampleServices.clusterIP6); \
            load balancer \(SampleServices.loadBalancerIP); node port \(SampleServices.nodePort)
            Service shop/empty, without endpoints: cluster IP \(SampleServices.emptyIP)

            """
        )
    }

    // MARK: The table of answers

    private func showTable(_ clusterIP: FrontendKey) throws {
        let pod = topology.pods[0]
        let node = topology.nodes[1]
        let rows: [(String, Namespace, FrontendKey)] = [
            ("pod \(pod.name)", pod.namespace, clusterIP),
            (
                "pod \(pod.name)", pod.namespace,
                try FrontendKey(SampleServices.clusterIP6, .tcp, 80)
            ),
            ("pod \(pod.name)", pod.namespace, try FrontendKey(SampleServices.clusterIP, .udp, 53)),
            (node.name, node.namespace, clusterIP),
            (
                "outside", topology.client,
                try FrontendKey(node.address, .tcp, SampleServices.nodePort)
            ),
            ("outside", topology.client, try FrontendKey(SampleServices.loadBalancerIP, .tcp, 80)),
            (
                "pod \(pod.name)", pod.namespace,
                try FrontendKey(SampleServices.loadBalancerIP, .tcp, 80)
            ),
            ("pod \(pod.name)", pod.namespace, try FrontendKey(SampleServices.emptyIP, .tcp, 80)),
        ]
        let names = topology.pods.map(\.name)
        print("Who answered \(connections) connections each, and whom the pods saw:\n")
        print(
            "  \("from".padded(10))\("to".padded(26))"
                + names.map { $0.leftPadded(7) }.joined() + "   client seen as"
        )
        for (from, namespace, target) in rows {
            var counts: [Probe.Outcome: Int] = [:]
            for _ in 0..<connections {
                counts[try Probe(target: target).send(from: namespace), default: 0] += 1
            }
            print("  \(from.padded(10))\("\(target)".padded(26))\(summary(counts, names))")
        }
    }

    private func summary(_ counts: [Probe.Outcome: Int], _ names: [String]) -> String {
        var byPod: [String: Int] = [:]
        var seen: Set<String> = []
        for (outcome, count) in counts {
            if case .answered(let pod, let client) = outcome {
                byPod[pod, default: 0] += count
                seen.insert(client)
            }
        }
        guard !byPod.isEmpty else {
            return "   " + (counts[.refused] == connections ? "refused at once" : "no answer")
        }
        let lost = connections - byPod.values.reduce(0, +)
        return names.map { "\(byPod[$0].map(String.init) ?? "-")".leftPadded(7) }.joined()
            + "   \(seen.sorted().joined(separator: ", "))" + (lost > 0 ? " (\(lost) failed)" : "")
    }

    // MARK: Removing and restoring an endpoint

    private static let slice = ServiceObjects.slicePath("web-4")

    /// Sends a JSON patch, and prints the kubectl command for it.
    private func patchSlice(_ patch: JSONValue) async throws {
        let text = String(decoding: try JSONEncoder.readable.encode(patch), as: UTF8.self)
        print("  kubectl -n shop patch endpointslice web-4 --type json -p '\(text)'")
        try await cluster.request(
            "PATCH",
            Self.slice,
            patch,
            contentType: "application/json-patch+json"
        )
    }

    private func removeEndpoint(_ clusterIP: FrontendKey) async throws {
        let gone = topology.pods[1]
        print("\nEndpoint \(gone.name) is removed while connections go on:")
        try await patchSlice([["op": "remove", "path": "/endpoints/1"]])
        let (total, failed, lastSeen) = try connect(to: clusterIP, for: .seconds(2), gone)
        let last = lastSeen.map { "for the last time after \($0.formattedMilliseconds)" }
        print(
            "  \(total) connections, \(failed) failed; \(gone.name) answered \(last ?? "never again")"
        )
        guard failed == 0, lastSeen ?? .zero < .seconds(1) else {
            throw LabError("traffic did not follow the endpoints")
        }
    }

    private func restartAPI(_ clusterIP: FrontendKey) async throws {
        let back = topology.pods[1]
        print("\nThe API server goes away:")
        cluster.stopAPI()
        let (total, failed, _) = try connect(to: clusterIP, for: .seconds(1), back)
        print("  \(total) connections without it, \(failed) failed")
        guard failed == 0 else { throw LabError("the rules did not outlive the API server") }
        print("It comes back:")
        let readers = cluster.slicesRequests
        let start = ContinuousClock.now
        try cluster.startAPI()
        try waitUntil(
            "the nodes do not read the API again",
            within: .seconds(30),
            pause: .milliseconds(1)
        ) {
            cluster.slicesRequests >= readers + topology.nodes.count
        }
        let pause = (ContinuousClock.now - start).formattedMilliseconds
        print("  every node reads it again after \(pause); they ask with growing pauses")
        print("Endpoint \(back.name) is added again:")
        try await patchSlice([
            [
                "op": "add", "path": "/endpoints/-",
                "value": ServiceObjects.endpoint(back, back.address),
            ]
        ])
        let added = ContinuousClock.now
        try wait(for: clusterIP, from: topology.pods[0].namespace) { $0.pod == back.name }
        print("  \(back.name) answers after \((ContinuousClock.now - added).formattedMilliseconds)")
    }

    /// Connects again and again; `lastSeen` is the time of the pod's last answer.
    private func connect(
        to target: FrontendKey,
        for duration: Duration,
        _ pod: Topology.Pod
    ) throws -> (total: Int, failed: Int, lastSeen: Duration?) {
        let client = topology.pods[0].namespace
        let start = ContinuousClock.now
        var (total, failed, lastSeen) = (0, 0, Duration?.none)
        while ContinuousClock.now - start < duration {
            let outcome = try Probe(target: target).send(from: client)
            total += 1
            if !outcome.isAnswer { failed += 1 }
            if outcome.pod == pod.name { lastSeen = ContinuousClock.now - start }
            // Without a pause, tens of thousands of connections would run into their own ports in
            // TIME_WAIT.
            usleep(1000)
        }
        return (total, failed, lastSeen)
    }

    private func wait(
        for target: FrontendKey,
        from namespace: Namespace,
        _ isGood: (Probe.Outcome) -> Bool
    ) throws {
        try waitUntil(
            "\(target) does not answer in \(namespace.name)",
            within: .seconds(30),
            pause: .milliseconds(1)
        ) {
            isGood(try Probe(target: target).send(from: namespace))
        }
    }
}

extension JSONEncoder {
    fileprivate static var readable: JSONEncoder {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return encoder
    }
}

extension String {
    func padded(_ width: Int) -> String {
        self + String(repeating: " ", count: max(1, width - count))
    }

    func leftPadded(_ width: Int) -> String {
        String(repeating: " ", count: max(0, width - count)) + self
    }
}

extension Duration {
    var milliseconds: Double {
        Double(components.seconds) * 1e3 + Double(components.attoseconds) / 1e15
    }

    var formattedMilliseconds: String {
        let tenths = Int((milliseconds * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) ms"
    }

    var formattedHundredths: String {
        let hundredths = Int((milliseconds * 100).rounded())
        let fraction = hundredths % 100
        return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction) ms"
    }
}
