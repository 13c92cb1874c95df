import BinarySupport
import EmbeddedAPIServer
import FoundationEssentials
import Glibc
import NetworkNamespaces
import TestSupport
import Testing

/// Tests of the daemon with an API server.
@Suite(.timeLimit(.minutes(30))) struct APIDaemonTests {
    private let namespace: NetworkNamespace
    private let folder: Folder
    private let server: APIServer
    private let url: String

    init() throws {
        namespace = try NetworkNamespace()
        folder = try Folder()
        try namespace.ip(["link set lo up"])
        (server, url) = try APIServer.listening(in: namespace)
        try server.apply(["kind": "Node", "metadata": ["name": "here"]])
        try server.apply([
            "kind": "Service", "metadata": ["name": "web", "namespace": "test"],
            "spec": ["clusterIP": "10.96.0.10", "ports": [["name": "http", "port": 80]]],
        ])
    }

    private func slice(_ address: JSONValue) -> JSONValue {
        [
            "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": [
                "name": "web-1", "namespace": "test",
                "labels": ["kubernetes.io/service-name": "web"],
            ],
            "ports": [["name": "http", "port": 8080]], "endpoints": [["addresses": [address]]],
        ]
    }

    private func start(_ flags: [String] = []) throws -> Daemon {
        try Daemon(
            ["--master", url, "--hostname-override", "here", "-v", "2"] + flags,
            in: namespace,
            log: "\(folder.path)/.log"
        )
    }

    private var ruleset: String { get throws { try namespace.run(["nft", "list", "ruleset"]) } }

    @Test(arguments: ["application/vnd.kubernetes.protobuf", "application/json"])
    func `it follows the API server, and tells it so`(contentType: String) async throws {
        defer { server.stop() }
        try server.apply(slice("10.244.1.5"))
        let daemon = try start(["--kube-api-content-type", contentType])
        try daemon.wait(for: "synced")
        #expect(try ruleset.contains("10.96.0.10 . tcp . 80 comment \"test/web:http\""))
        #expect(try ruleset.contains(": 10.244.1.5 . 8080"))
        try server.apply(slice("10.244.1.6"))
        try daemon.wait { try ruleset.contains(": 10.244.1.6 . 8080") }
        server.delete("Service", "test", "web")
        try daemon.wait { try !ruleset.contains("10.96.0.10") }
        try daemon.wait { !server.objects("Event").isEmpty }
        let event = server.objects("Event")[0]
        #expect(event["reason"] == "Starting" && event["action"] == "StartKubeProxy")
        #expect(event["regarding"]["kind"] == "Node" && event["regarding"]["name"] == "here")
        #expect(daemon.stop() == 0)
    }

    private func service(_ name: String, _ spec: JSONValue) -> JSONValue {
        [
            "kind": "Service", "metadata": ["name": .string(name), "namespace": "test"],
            "spec": spec,
        ]
    }

    private func hasEvent(_ reason: String, about name: String) -> Bool {
        server.objects("Event").contains {
            $0["reason"].string == reason && $0["regarding"]["kind"] == "Service"
                && $0["regarding"]["name"].string == name
                // kubectl describe looks for the UID.
                && $0["regarding"]["uid"].string?.count == 36
        }
    }

    // CVE-2020-8554 for the proxy itself: its requests would go to the Service's endpoints for
    // ever.
    @Test
    func `no Service takes the address of the API server or of another, and owners hear of it`()
        async throws
    {
        defer { server.stop() }
        try namespace.ip(["addr add 192.0.2.50/32 dev lo"])
        let server = server
        let listener = try namespace.inside { try server.listen("192.0.2.50") }
        listener.start()
        let port = try #require(listener.url.split(separator: ":").last.flatMap { Int($0) })
        let daemon = try Daemon(
            ["--master", listener.url, "--hostname-override", "here", "-v", "2"],
            in: namespace,
            log: "\(folder.path)/.log"
        )
        try daemon.wait(for: "synced")
        try server.apply(
            service(
                "thief",
                [
                    "clusterIP": "10.96.0.66", "externalIPs": ["192.0.2.50", "10.96.0.10"],
                    "ports": [
                        ["name": "api", "port": .integer(Int64(port))],
                        ["name": "web", "port": 80],
                    ],
                ]
            )
        )
        try daemon.wait {
            hasEvent("FrontendRefused", about: "thief")
                && hasEvent("FrontendConflict", about: "thief")
                && hasEvent("FrontendConflict", about: "web")
        }
        #expect(try !ruleset.contains("192.0.2.50 . tcp . \(port)"))
        #expect(try ruleset.contains("192.0.2.50 . tcp . 80 comment \"test/thief:web\""))
        #expect(try ruleset.contains("10.96.0.10 . tcp . 80 comment \"test/web:http\""))
        // Later changes are still programmed.
        server.delete("Service", "test", "thief")
        try daemon.wait { try !ruleset.contains("10.96.0.66") }
        #expect(daemon.stop() == 0)
    }

    @Test func `Endpoints serve a cluster without EndpointSlices`() async throws {
        defer { server.stop() }
        func endpoints(_ ready: JSONValue, _ notReady: JSONValue) -> JSONValue {
            [
                "kind": "Endpoints", "metadata": ["name": "web", "namespace": "test"],
                "subsets": [
                    [
                        "addresses": [["ip": ready]], "notReadyAddresses": [["ip": notReady]],
                        "ports": [["name": "http", "port": 8080]],
                    ]
                ],
            ]
        }
        try server.apply(endpoints("10.244.1.5", "10.244.1.6"))
        // EndpointSlices must not even be requested.
        try server.apply(slice("10.244.1.7"))
        let daemon = try start(["--endpoints-source", "endpoints"])
        try daemon.wait(for: "synced")
        #expect(try ruleset.contains(": 10.244.1.5 . 8080"))
        #expect(try !ruleset.contains("10.244.1.6") && !ruleset.contains("10.244.1.7"))
        try server.apply(endpoints("10.244.1.6", "10.244.1.5"))
        try daemon.wait { try ruleset.contains(": 10.244.1.6 . 8080") }
        #expect(!server.requests.contains { $0.contains("/endpointslices") })
    }

    // An empty view is no reason to remove a Service: kubernetes/kubernetes#34028 and similar
    // issues.
    @Test func `nothing is changed before every list is there, nor while the server is away`()
        async throws
    {
        defer { server.stop() }
        try server.apply(slice("10.244.1.5"))
        let first = try start()
        try first.wait(for: "synced")
        let before = try ruleset
        first.stop()
        // A second Service is known at once, but its endpoints are not.
        try server.apply([
            "kind": "Service", "metadata": ["name": "two", "namespace": "test"],
            "spec": ["clusterIP": "10.96.0.11", "ports": [["name": "http", "port": 80]]],
        ])
        let path = "/apis/discovery.k8s.io/v1/endpointslices"
        server.inject(Fault(.refuse, path: path, count: 2))
        server.inject(Fault(.stall, path: path))
        let second = try start()
        try second.wait {
            server.requests.count { $0.contains("/endpointslices") } == 4
        }
        #expect(try ruleset == before)
        server.stop()
        try second.wait(for: "objects cannot be followed; what was programmed stays")
        #expect(try ruleset == before)
        // The server returns at the same address, as after a restart.
        let port = try #require(UInt16(url.split(separator: ":").last ?? ""))
        let listener = try namespace.inside { try server.listen(port: port) }
        listener.start()
        try second.wait(for: "synced", count: 2)
        #expect(try ruleset.contains("10.96.0.11") && ruleset.contains(": 10.244.1.5 . 8080"))
    }

    // Roles in clusters before 1.33 do not include ServiceCIDRs.
    @Test func `what is refused and not essential holds nothing up`() async throws {
        defer { server.stop() }
        try server.apply(slice("10.244.1.5"))
        for path in ["/apis/networking.k8s.io/v1/servicecidrs", "/api/v1/nodes"] {
            server.inject(Fault(.refuse, path: path, count: 1_000_000, code: 403))
        }
        let daemon = try start()
        try daemon.wait(for: "the list of serviceCIDRs is refused by the API server")
        try daemon.wait(for: "the list of nodes is refused by the API server")
        try daemon.wait(for: "synced")
        #expect(try ruleset.contains(": 10.244.1.5 . 8080"))
        let metrics = try namespace.run(["curl", "-s", "127.0.0.1:10249/metrics"])
        #expect(metrics.contains(#"needletail_api_followed{resource="ServiceCIDR"} 0"#))
        #expect(metrics.contains(#"needletail_api_followed{resource="Service"} 1"#))
        // Without the Node, load balancers are not sent away.
        #expect(try namespace.run(["curl", "-s", "127.0.0.1:10256/healthz"]).contains("true"))
        server.clearFaults()
        try daemon.wait(for: "Node objects are followed again")
    }

    @Test func `readiness names the list that is missing`() async throws {
        defer { server.stop() }
        let path = "/apis/discovery.k8s.io/v1/endpointslices"
        server.inject(Fault(.refuse, path: path, count: 1_000_000, code: 403))
        let daemon = try start()
        try daemon.wait {
            (try? namespace.run(["curl", "-s", "127.0.0.1:10249/readyz"]))
                == "not ready: the first sync is not done; waiting for the lists of endpoints\n"
        }
    }

    @Test func `a kubeconfig that changes is taken over, and a bad one is not`() async throws {
        defer { server.stop() }
        let (other, otherURL) = try APIServer.listening(in: namespace)
        defer { other.stop() }
        try server.apply(slice("10.244.1.5"))
        for object in server.objects("Service") + server.objects("Node") { try other.apply(object) }
        try other.apply(slice("10.244.1.6"))
        let file = "\(folder.path)/kubeconfig"
        func write(_ server: String) throws {
            let text =
                "{current-context: c, contexts: [{name: c, context: {cluster: c}}], clusters: [{name: c, cluster: {server: \"\(server)\"}}]}"
            try text.write(toFile: file, atomically: true, encoding: .utf8)
        }
        // The URL has no scheme; client-go accepts that.
        try write(String(url.dropFirst("http://".count)))
        let daemon = try Daemon(
            ["--kubeconfig", file, "--hostname-override", "here", "-v", "2"],
            in: namespace,
            log: "\(folder.path)/.log"
        )
        try daemon.wait { try ruleset.contains(": 10.244.1.5 . 8080") }
        try "{clusters: [".write(toFile: file, atomically: true, encoding: .utf8)
        try daemon.wait(for: "the credentials that were read before stay in force")
        try server.apply(slice("10.244.1.7"))
        try daemon.wait { try ruleset.contains(": 10.244.1.7 . 8080") }
        try write(otherURL)
        try daemon.wait { try ruleset.contains(": 10.244.1.6 . 8080") }
        #expect(server.objects("Event").contains { $0["reason"] == "InvalidKubeconfig" })
    }

    @Test func `a thousand reconnects leak nothing`() async throws {
        defer { server.stop() }
        let path = "/apis/discovery.k8s.io/v1/endpointslices"
        // Every watch ends after one event; the first one ends after its initial bookmark.
        server.inject(Fault(.end, path: path, count: 2000, afterEvents: 1))
        let daemon = try start()
        var watches = 2
        // A watch that ends without an event is opened again, so there may be more watches than
        // expected.
        func wait() throws {
            try daemon.wait { server.requests.count { $0.contains("\(path)?") } >= watches }
            watches = server.requests.count { $0.contains("\(path)?") }
        }
        try wait()
        var address = ""
        func reconnect(_ count: Int) throws {
            for _ in 0..<count {
                address = "10.244.\(watches / 200).\(1 + watches % 200)"
                try server.apply(slice(.string(address)))
                watches += 1
                try wait()
            }
        }
        try reconnect(200)
        let before = try daemon.resources()
        try reconnect(1000)
        let after = try daemon.resources()
        #expect(after.descriptors <= before.descriptors + 2)
        #expect(after.memory < before.memory + 4 << 20, "\(before.memory) to \(after.memory) bytes")
        try daemon.wait { try ruleset.contains(": \(address) . 8080") }
    }
}

extension Daemon {
    /// The number of open descriptors, and the resident memory in bytes.
    fileprivate func resources() throws -> (descriptors: Int, memory: Int) {
        let status = try String(contentsOfFile: "/proc/\(child)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") })
        let kibibytes = try #require(Int(line.filter(\.isNumber)))
        let descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(child)/fd")
        return (descriptors.count, kibibytes << 10)
    }
}
