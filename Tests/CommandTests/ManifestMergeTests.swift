import BinarySupport
import EmbeddedAPIServer
import NetworkNamespaces
import TestSupport
import Testing

/// Tests that apply `manifests/` to what a cluster already contains.
@Suite(.timeLimit(.minutes(30))) struct ManifestMergeTests {
    private static let root = "\(Fixture.root)/.."
    private static let overlay = "\(root)/manifests/overlays/kubeadm"

    private let namespace: NetworkNamespace
    private let folder: Folder
    private let server: APIServer
    private let url: String

    init() throws {
        namespace = try NetworkNamespace()
        folder = try Folder()
        try namespace.ip(["link set lo up"])
        (server, url) = try APIServer.listening(in: namespace)
    }

    @discardableResult
    private func kubectl(_ arguments: [String]) throws -> String {
        try namespace.run(
            [
                "env", "HOME=\(folder.path)", "KUBECONFIG=", "kubectl", "-s", url,
                "--request-timeout=30s",
            ] + arguments
        )
    }

    /// Returns the pod of the only DaemonSet.
    private func pod() throws -> JSONValue {
        let objects = server.objects("DaemonSet")
        try #require(objects.count == 1 && objects[0]["metadata"]["name"] == "kube-proxy")
        return objects[0]["spec"]["template"]["spec"]
    }

    private func words(_ value: JSONValue) -> [String] { value.array?.compactMap(\.string) ?? [] }

    /// The object of kubeadm was created, not applied, so no annotation says what an apply may
    /// remove.
    @Test(arguments: [
        ["apply", "-k", overlay],
        ["apply", "--server-side", "--force-conflicts", "-k", overlay],
        ["replace", "-k", overlay],
    ])
    func `the overlay takes the place of what kubeadm has made`(command: [String]) throws {
        defer { server.stop() }
        try kubectl(["create", "-f", "\(Fixture.root)/Fixtures/kubeadm-daemonset.yaml"])
        try kubectl(command)
        let pod = try pod()
        let containers = try #require(pod["containers"].array)
        try #require(containers.count == 1)
        let proxy = containers[0]
        #expect(proxy["image"] == "needletail:0.1.0")
        #expect(words(proxy["command"]) == ["/usr/local/bin/needletail"])
        #expect(proxy["securityContext"]["privileged"] == .bool(false))
        #expect(proxy["securityContext"]["capabilities"]["add"] == ["NET_ADMIN"])
        // These are the rules of `ValidateSecurityContext` in the API server.
        for container in containers + (pod["initContainers"].array ?? []) {
            let context = container["securityContext"]
            #expect(
                !(context["privileged"] == .bool(true)
                    && context["allowPrivilegeEscalation"] == .bool(false)),
                "\(container["name"])"
            )
            let mounts = container["volumeMounts"].array ?? []
            let volumes = pod["volumes"].array?.compactMap { $0["name"].string } ?? []
            #expect(mounts.allSatisfy { volumes.contains($0["name"].string ?? "") })
        }
        try starts(words(proxy["args"]))
    }

    /// Checks that the arguments start the program with kubeadm's file.
    private func starts(_ arguments: [String]) throws {
        let config = try folder.write(
            Fixture.text("Fixtures/kubeadm-kube-proxy.yaml"),
            to: "config.conf"
        )
        let real = arguments.map {
            $0.replacing("/var/lib/kube-proxy/config.conf", with: config)
                .replacing("$(NODE_NAME)", with: "here")
        }
        let file = "\(folder.path)/effective.yaml"
        let result = try Binary.run(real + ["--write-config-to", file], in: namespace)
        #expect(result.status == 0, "\(result)")
        #expect(try namespace.run(["cat", file]).contains("hostnameOverride: here"))
    }

    @Test func `another image alone is enough`() throws {
        defer { server.stop() }
        try kubectl(["create", "-f", "\(Fixture.root)/Fixtures/kubeadm-daemonset.yaml"])
        try kubectl([
            "-n", "kube-system", "set", "image", "daemonset/kube-proxy",
            "kube-proxy=needletail:0.1.0",
        ])
        let proxy = try #require(try pod()["containers"].array?.first)
        #expect(proxy["image"] == "needletail:0.1.0")
        let command = words(proxy["command"])
        #expect(command.first == "/usr/local/bin/kube-proxy")
        try starts(Array(command.dropFirst()))
    }

    @Test(arguments: ["base", "overlays/ipvs", "overlays/kubeadm"])
    func `no probe comes with the container`(manifest: String) throws {
        defer { server.stop() }
        let text = try namespace.run(["kubectl", "kustomize", "\(Self.root)/manifests/\(manifest)"])
        let probes = text.ranges(of: "Probe:").count
        #expect(probes == 2 && text.ranges(of: "initialDelaySeconds:").count == probes)
    }
}
