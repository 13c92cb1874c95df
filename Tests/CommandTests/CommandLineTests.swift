import BinarySupport
import NetworkNamespaces
import TestSupport
import Testing

@Suite struct CommandLineTests {
    private let namespace: NetworkNamespace
    private let folder: Folder

    init() throws {
        namespace = try NetworkNamespace()
        folder = try Folder()
    }

    private let web = """
        {"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
         "spec": {"clusterIP": "10.96.0.10", "ports": [{"name": "http", "port": 80}]}}]}
        """

    @Test func `once programs the kernel and leaves the rules`() throws {
        let file = try folder.write(web, to: "web.json")
        let result = try Binary.run(
            ["run", "--once", "--manifests", file, "--cluster-cidr", "10.244.0.0/16"],
            in: namespace
        )
        #expect(result.status == 0, "\(result.output)")
        let listing = try namespace.run(["nft", "list", "table", "ip", "needletail"])
        #expect(listing.contains("10.96.0.10 . tcp . 80 comment \"default/web:http\""))
        #expect(
            try Binary.run(
                ["diff", "--manifests", file, "--cluster-cidr", "10.244.0.0/16"],
                in: namespace
            ).status == 0
        )
        let json = try Binary.run(["diff", "-o", "json", "--manifests", file], in: namespace)
        #expect(json.output.contains(#""action" : "remove""#), "\(json.output)")
        let changed = try Binary.run(["diff", "--manifests", file], in: namespace)
        #expect(
            changed.status == 1
                && changed.output.contains("- ip needletail pod-cidrs: 10.244.0.0/16"),
            "\(changed.output)"
        )
    }

    @Test func `a dry run touches nothing and prints what nft can load`() throws {
        let file = try folder.write(web, to: "web.json")
        let result = try Binary.run(
            ["run", "--dry-run", "--manifests", file],
            in: namespace,
            wrapper: ["setpriv", "--bounding-set=-all"]
        )
        #expect(result.status == 0 && result.output.contains("table ip6 needletail {"))
        #expect(try namespace.run(["nft", "list", "ruleset"]).isEmpty)
    }

    @Test func `what render prints loads with the system's nft`() throws {
        let file = try folder.write(web, to: "web.json")
        let result = try Binary.run(["render", "--manifests", file], in: namespace)
        #expect(result.output.hasPrefix("# For nft 1.1. nft 1.0.6 loads it"), "\(result.output)")
        let script = try folder.write(result.output, to: "rules.nft")
        try namespace.run(["nft", "-f", script])
        let listing = try namespace.run(["nft", "list", "ruleset"])
        #expect(listing.contains("10.96.0.10 . tcp . 80 comment \"default/web:http\""))
    }

    @Test func `numbers beyond all bounds are taken for the highest`() throws {
        let flags = ["--conntrack-max-per-core", "--conntrack-min"].map {
            "\($0)=9223372036854775807"
        }
        // This test must not change the kernel's settings.
        let nobody = ["setpriv", "--bounding-set=-all", "--reuid=65534", "--clear-groups"]
        let result = try Binary.run(["run", "--init-only"] + flags, in: namespace, wrapper: nobody)
        #expect(
            result.status == 0 && result.output.contains("cannot be set to 1048576"),
            "\(result.output)"
        )
    }

    @Test
    func `a file of mode ipvs has kube-proxy's default of NodePort addresses, and a flag has ours`()
        throws
    {
        let folder = try Folder()
        let file = try folder.write(
            "{apiVersion: kubeproxy.config.k8s.io/v1alpha1, kind: KubeProxyConfiguration, mode: ipvs}",
            to: "config.conf"
        )
        for (flags, expected) in [(["--config", file], "[all]"), (["--mode", "ipvs"], "[]")] {
            let output = "\(folder.path)/effective"
            let result = try Binary.run(
                ["run", "--write-config-to", output] + flags,
                in: namespace
            )
            #expect(result.status == 0, "\(result.output)")
            let text = try String(contentsOfFile: output, encoding: .utf8)
            #expect(text.contains("nodePortAddresses: \(expected)\n"))
        }
    }

    @Test func `a daemon that tells nonsense does not end the one who asks`() throws {
        let status = """
            {"version": "1", "mode": "nftables", "node": "n", "started": "", "ready": true,
             "nodeEligible": true, "services": 1, "endpoints": 1, "pendingChanges": 0,
             "missingLists": [], "drift": {"detected": 0, "repaired": 0}, "families": {},
             "apiViewAgeSeconds": {"services": 1e300, "nodes": -1.5}}
            """
        try namespace.ip(["link set lo up"])
        let server = try namespace.inside { ScriptedServer { _ in .json(status) } }
        server.start()
        defer { server.stop() }
        let result = try Binary.run(
            ["status", "--address", "127.0.0.1:\(server.port)"],
            in: namespace
        )
        #expect(result.status == 0 && result.output.contains("heard 1e+300 s ago"), "\(result)")
    }

    @Test(arguments: ["nft", "json", "plan"])
    func `render reads standard input`(format: String) throws {
        let result = try Binary.run(["render", "-o", format, "-"], in: namespace, input: web)
        #expect(result.status == 0 && result.output.contains("10.96.0.10"), "\(result.output)")
    }

    @Test(arguments: [
        (["run", "--no-such-flag"], "Unknown option '--no-such-flag'", 64),
        (
            ["run", "--cluster-cidr", "10.0.0.0"],
            "clusterCIDR (--cluster-cidr): \"10.0.0.0\" is not a CIDR block", 1
        ),
        (
            ["run", "--detect-local-mode", "BridgeInterface"],
            "detectLocal.bridgeInterface (--pod-bridge-interface): is empty", 1
        ),
        (["run", "--mode", "userspace"], "mode (--proxy-mode): \"userspace\" is none of", 1),
        (["run", "--kubeconfig", "/nonexistent"], "kubeconfig /nonexistent cannot be read", 1),
        (["run", "--manifests", "/nonexistent"], "/nonexistent", 1),
        (["run", "--once", "--manifests", "/nonexistent"], "No such file or directory", 1),
        (
            ["run", "--hostname-override", " "],
            "hostnameOverride (--hostname-override): \" \" cannot be the name of a node",
            1
        ),
        (["run"], "give --kubeconfig", 1),
    ])
    func `wrong usage is told`(arguments: [String], reason: String, status: Int32) throws {
        let result = try Binary.run(arguments, in: namespace)
        #expect(result.output.contains(reason) && result.status == status, "\(result)")
    }

    @Test func `kube-proxy's underscores are hyphens`() throws {
        let file = try folder.write(web, to: "web.json")
        let result = try Binary.run(
            ["render", "--manifests=\(file)", "--cluster_cidr=10.0.0.0/8", "-o", "plan"],
            in: namespace
        )
        #expect(result.status == 0)
    }

    @Test func `without NET_ADMIN it says what it needs`() throws {
        let file = try folder.write(web, to: "web.json")
        let result = try Binary.run(
            ["run", "--once", "--manifests", file],
            in: namespace,
            wrapper: ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
        )
        #expect(result.status == 1 && result.output.contains("NET_ADMIN"), "\(result)")
    }

    @Test func `bad values of one object do not stop the others`() throws {
        let file = try folder.write(
            """
            {apiVersion: v1, kind: Service, metadata: {name: bad, namespace: x}, spec: {clusterIP: 10.96.0.300, ports: [{port: 0}, {port: 70000}]}}
            ---
            {apiVersion: v1, kind: Service, metadata: {name: half, namespace: x}, spec: {clusterIP: 10.96.0.11, ports: [{name: a, port: 0}, {name: b, port: 81}]}}
            """,
            to: "bad.yaml"
        )
        let result = try Binary.run(["run", "--once", "--manifests", file], in: namespace)
        #expect(
            result.status == 0
                && result.output.contains(
                    "Service x/half: spec.ports[0].port: 0 is not a port number"
                ),
            "\(result)"
        )
        #expect(
            try namespace.run(["nft", "list", "ruleset"]).contains(
                "10.96.0.11 . tcp . 81 comment \"x/half:b\""
            )
        )
    }

    @Test func `a manifest that breaks keeps what was programmed`() throws {
        let file = try folder.write(web, to: "web.json")
        #expect(try Binary.run(["run", "--once", "--manifests", file], in: namespace).status == 0)
        try folder.write(
            "{\"kind\": \"Service\", \"apiVersion\": \"v1\", \"metadata\": {\"name\": 5}}",
            to: "web.json"
        )
        let broken = try Binary.run(["run", "--once", "--manifests", file], in: namespace)
        #expect(
            broken.status == 1
                && broken.output.contains("web.json:1: metadata.name: is not a text"),
            "\(broken)"
        )
        #expect(try namespace.run(["nft", "list", "ruleset"]).contains("10.96.0.10 . tcp . 80"))
    }

    @Test func `an empty manifest takes nothing back, an empty List everything`() throws {
        let file = try folder.write(web, to: "web.json")
        let once = ["run", "--once", "--manifests"]
        func holdsWeb() throws -> Bool {
            try namespace.run(["nft", "list", "ruleset"]).contains("10.96.0.10 . tcp . 80")
        }
        #expect(try Binary.run(once + [file], in: namespace).status == 0)
        try folder.write("", to: "web.json")
        let empty = try Binary.run(once + [file], in: namespace)
        #expect(empty.status == 1 && empty.output.contains("web.json: is empty"), "\(empty)")
        #expect(try holdsWeb())
        try folder.write("{apiVersion: v1, kind: List, items: []}", to: "web.json")
        #expect(try Binary.run(once + [file], in: namespace).status == 0)
        #expect(try !holdsWeb())
        #expect(try Binary.run(once + ["/dev/null"], in: namespace).status == 0)
    }

    @Test func `the effective configuration is written beside links, not through them`() throws {
        let victim = try folder.write("keep", to: "victim")
        let link = "\(folder.path)/link"
        try namespace.run(["ln", "-s", victim, link])
        let refused = try Binary.run(["run", "--write-config-to", link], in: namespace)
        #expect(refused.status == 1 && refused.output.contains("is a symbolic link"), "\(refused)")
        #expect(try namespace.run(["cat", victim]) == "keep")
        // The file is replaced; its other hard link keeps the old content.
        let other = "\(folder.path)/other"
        try namespace.run(["ln", victim, other])
        #expect(try Binary.run(["run", "--write-config-to", victim], in: namespace).status == 0)
        #expect(try namespace.run(["cat", other]) == "keep")
        #expect(try namespace.run(["stat", "-c", "%a", victim]) == "644\n")
        #expect(try namespace.run(["cat", victim]).contains("kind: KubeProxyConfiguration"))
        #expect(try namespace.run(["ls", folder.path]) == "link\nother\nvictim\n")
    }

    @Test(arguments: ["flags", "metrics"])
    func `a reference page is the program's`(page: String) throws {
        let result = try Binary.run(["reference", page], in: namespace)
        let written = try Fixture.text("../docs/\(page).md")
        #expect(result.output == written, "make reference")
    }
}
