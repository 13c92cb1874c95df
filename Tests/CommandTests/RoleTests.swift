import BinarySupport
import EmbeddedAPIServer
import NetworkNamespaces
import TestSupport
import Testing
import YAML

/// Tests that the role in the manifests is enough, and no more than is used.
@Suite(.timeLimit(.minutes(30))) struct RoleTests {
    private let namespace: NetworkNamespace
    private let folder: Folder
    private let rules: [PolicyRule]

    init() throws {
        namespace = try NetworkNamespace()
        folder = try Folder()
        try namespace.ip(["link set lo up"])
        rules = try Self.rules("../manifests/base/rbac.yaml")
    }

    /// Reads the rules of the only ClusterRole in a file.
    private static func rules(_ path: String) throws -> [PolicyRule] {
        struct Role: Decodable {
            let kind: String
            let rules: [PolicyRule]?
        }
        let roles = try YAMLReader.documents(in: try Fixture.text(path))
            .map { try YAMLDecoder().decode(Role.self, from: $0) }
            .filter { $0.kind == "ClusterRole" }
        #expect(roles.count == 1)
        return try #require(roles.first?.rules)
    }

    private func start(_ server: APIServer, _ url: String, _ flags: [String] = []) throws -> Daemon
    {
        try Daemon(
            ["--master", url, "--hostname-override", "here", "-v", "2"] + flags,
            in: namespace,
            log: "\(folder.path)/.log-\(UInt32.random(in: 0 ... .max))"
        )
    }

    private func service(_ name: String, _ external: [JSONValue]) -> JSONValue {
        [
            "kind": "Service", "metadata": ["name": .string(name), "namespace": "test"],
            "spec": [
                "clusterIP": .string(name == "web" ? "10.96.0.10" : "10.96.0.11"),
                "externalIPs": .array(external), "ports": [["name": "http", "port": 80]],
            ],
        ]
    }

    /// Has the daemon and the commands do everything that they do with an API server.
    private func useEverything(_ server: APIServer, _ url: String) throws {
        try server.apply(["kind": "Node", "metadata": ["name": "here"]])
        try server.apply(service("web", ["198.51.100.7"]))
        let daemon = try start(server, url)
        try daemon.wait(for: "synced")
        // The same event twice is a series, which is a change of the first one.
        let conflicts = { (count: Int64) in
            server.objects("Event").contains {
                $0["reason"] == "FrontendConflict" && $0["regarding"]["name"] == "other"
                    && $0["series"]["count"].integer ?? 1 >= count
            }
        }
        try server.apply(service("other", ["198.51.100.7"]))
        try daemon.wait { conflicts(1) }
        try server.apply(service("other", ["198.51.100.8"]))
        try daemon.wait(for: "synced", count: 3)
        try server.apply(service("other", ["198.51.100.7"]))
        try daemon.wait { conflicts(2) }
        daemon.stop()
        let old = try start(server, url, ["--endpoints-source", "endpoints"])
        try old.wait(for: "synced")
        old.stop()
        let flags = ["--master", url, "--hostname-override", "here"]
        for command in [
            ["explain", "test/web"], ["explain", "test/web", "--endpoints-source", "endpoints"],
            ["diff"],
            ["render"], ["preflight"],
        ] {
            let answer = try Binary.run(command + flags, in: namespace)
            #expect(!answer.output.contains("forbidden"), "\(command): \(answer.output)")
        }
    }

    @Test func `the role is enough, and nothing of it is unused`() throws {
        var configuration = APIServer.Configuration()
        configuration.rules = rules
        let (server, url) = try APIServer.listening(in: namespace, configuration)
        defer { server.stop() }
        try useEverything(server, url)
        #expect(server.refusedPermissions == [])
        #expect(server.usedPermissions == Set(rules.flatMap(\.permissions)))
    }

    /// kubeadm's kube-proxy has the role system:node-proxier: bootstrappolicy/policy.go, NodeProxier.
    @Test func `the role of kube-proxy is enough for the daemon`() throws {
        var configuration = APIServer.Configuration()
        configuration.rules = [
            PolicyRule(
                apiGroups: [""],
                resources: ["services", "endpoints"],
                verbs: ["list", "watch"]
            ),
            PolicyRule(apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch"]),
            PolicyRule(
                apiGroups: ["", "events.k8s.io"],
                resources: ["events"],
                verbs: ["create", "patch", "update"]
            ),
            PolicyRule(
                apiGroups: ["discovery.k8s.io"],
                resources: ["endpointslices"],
                verbs: ["list", "watch"]
            ),
            PolicyRule(
                apiGroups: ["networking.k8s.io"],
                resources: ["servicecidrs"],
                verbs: ["list", "watch"]
            ),
        ]
        let (server, url) = try APIServer.listening(in: namespace, configuration)
        defer { server.stop() }
        try useEverything(server, url)
        #expect(server.refusedPermissions == [])
    }

    @Test func `a server refuses what the role does not have`() throws {
        var configuration = APIServer.Configuration()
        configuration.rules = rules.map { rule in
            PolicyRule(
                apiGroups: rule.apiGroups,
                resources: rule.resources.filter { $0 != "services" },
                verbs: rule.verbs
            )
        }
        let (server, url) = try APIServer.listening(in: namespace, configuration)
        defer { server.stop() }
        let daemon = try start(server, url)
        try daemon.wait(for: "services is forbidden")
        #expect(server.refusedPermissions.allSatisfy { $0.resource == "services" })
    }
}
