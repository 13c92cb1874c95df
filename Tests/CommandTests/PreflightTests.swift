import BinarySupport
import FoundationEssentials
import NetworkNamespaces
import TestSupport
import Testing

/// Tests of `preflight` on nodes as other programs leave them.
@Suite(.timeLimit(.minutes(30))) struct PreflightTests {
    private func preflight(
        _ node: Node,
        _ flags: [String] = []
    ) throws -> (findings: [PreflightDocument.Finding], status: Int32) {
        let result = try node.command(["preflight", "-o", "json"] + flags)
        return (try PreflightDocument(result.output).findings, result.status)
    }

    private func node() throws -> Node {
        let node = try Node()
        try node.write([2])
        return node
    }

    @Test func `a node with nothing in the way is ready, and stays as it is`() throws {
        let node = try node()
        let before = try node.namespace.run(["nft", "list", "ruleset"])
        let (findings, status) = try preflight(node)
        #expect(status == 0, "\(findings)")
        #expect(findings.allSatisfy { $0.level == "ok" }, "\(findings)")
        let text = Dictionary(grouping: findings, by: \.subject).mapValues {
            $0.map(\.text).joined()
        }
        #expect(
            text["kernel"]?.contains("takes all rules and sets of mode nftables (IPv4, IPv6)")
                == true
        )
        #expect(text["API"] == "1 Services were read, 1 of them are programmed")
        #expect(text["kube-proxy"] == "has left nothing here")
        #expect(text["start"]?.hasPrefix("would make ") == true)
        #expect(try node.namespace.run(["nft", "list", "ruleset"]) == before)
        let plain = try node.command(["preflight"])
        #expect(plain.output.contains("ok       kernel "), "\(plain.output)")
    }

    @Test func `after a start, a start changes nothing`() throws {
        let node = try node()
        #expect(try node.once("nftables").status == 0)
        let (findings, status) = try preflight(node)
        #expect(status == 0)
        #expect(findings.contains { $0.subject == "start" && $0.text == "would change nothing" })
        #expect(findings.contains { $0.subject == "needletail" })
    }

    @Test(arguments: [
        "nft add table ip kube-proxy", "iptables-nft -t nat -N KUBE-SERVICES",
        "iptables-legacy -t nat -N KUBE-SERVICES",
    ])
    func `what kube-proxy has left is told, and goes with a start`(command: String) throws {
        let node = try node()
        try node.namespace.run(command.split(separator: " ").map(String.init))
        let (findings, status) = try preflight(node)
        #expect(status == 0, "\(findings)")
        let found = findings.first { $0.subject == "kube-proxy" }
        #expect(found?.text.hasPrefix("has left ") == true, "\(findings)")
        #expect(found?.text.hasSuffix("which a start removes when its own rules work") == true)
    }

    @Test(arguments: [
        (
            "add table inet firewalld; add chain inet firewalld filter_FORWARD { type filter hook forward"
                + " priority 10; policy drop; }", "table inet firewalld"
        ),
        (
            "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy"
                + " drop; }", "FORWARD"
        ),
    ])
    func `rules that drop what is forwarded are a warning`(script: String, name: String) throws {
        let node = try node()
        try node.namespace.run(["nft", script])
        let (findings, status) = try preflight(node)
        #expect(status == 3, "\(findings)")
        let warning = findings.first { $0.level == "warning" }
        #expect(
            warning?.subject == "forwarding" && warning?.text.contains(name) == true,
            "\(findings)"
        )
    }

    @Test func `a network that balances Services itself is a warning`() throws {
        let node = try node()
        try node.namespace.ip(["link add cilium_host type bridge"])
        try node.namespace.run(["iptables-nft", "-N", "CILIUM_FORWARD"])
        try node.namespace.run(["iptables-nft", "-A", "FORWARD", "-j", "CILIUM_FORWARD"])
        let (findings, status) = try preflight(node)
        #expect(status == 3, "\(findings)")
        let warnings = findings.filter { $0.level == "warning" }
        #expect(warnings.map(\.subject) == ["network"], "\(findings)")
        #expect(
            warnings.first?.text.hasPrefix("Cilium is here: with kubeProxyReplacement ") == true
        )
    }

    @Test(arguments: ["nftables", "iptables", "ipvs"])
    func `a kube-proxy that runs is told with its mode`(mode: String) throws {
        let node = try node()
        let kubeProxy = try node.namespace.inside {
            ScriptedServer(port: 10249) { line in
                line.hasPrefix("GET /proxyMode ")
                    ? .body(Array(mode.utf8), type: "text/plain")
                    : .status(404, "404 page not found")
            }
        }
        kubeProxy.start()
        defer { kubeProxy.stop() }
        let (findings, status) = try preflight(node)
        #expect(status == 3, "\(findings)")
        let warning = findings.first { $0.level == "warning" }
        #expect(warning?.subject == "proxy", "\(findings)")
        #expect(warning?.text.hasPrefix("kube-proxy runs here in mode \(mode), ") == true)
        let proof = try preflight(node, ["--verify"])
        #expect(proof.status == 1)
        #expect(proof.findings.first?.text == "kube-proxy still runs here, in mode \(mode)")
    }

    @Test func `the switch is proved with packets, or what is missing is told`() throws {
        let node = try Node()
        try node.write([2], name: "kubernetes", in: "default")
        let early = try preflight(node, ["--verify"])
        #expect(early.status == 1)
        #expect(
            early.findings.map { "\($0.level) \($0.subject)" }
                == ["problem daemon", "ok kube-proxy", "problem kernel", "problem packet"],
            "\(early)"
        )
        #expect(early.findings.first?.text == "no proxy answers at 127.0.0.1:10249", "\(early)")
        let daemon = try node.daemon("nftables")
        try daemon.wait(for: "synced")
        let proof = try preflight(node, ["--verify"])
        #expect(proof.status == 0, "\(proof)")
        #expect(
            proof.findings.map(\.subject) == ["daemon", "kube-proxy", "kernel", "packet"],
            "\(proof)"
        )
        #expect(
            proof.findings.last?.text
                == "default/kubernetes 10.96.0.10:80/tcp: delivered to 10.244.1.2:8080, as it should"
        )
        #expect(try preflight(node).findings.contains { $0.text == "needletail runs here already" })
        try node.namespace.run([
            "nft",
            "add table ip kube-proxy; add table ip foreign; add chain ip foreign x"
                + " { type filter hook output priority 0; }; add rule ip foreign x tcp dport 8080 drop",
        ])
        let broken = try preflight(node, ["--verify"])
        #expect(broken.status == 1)
        let found = broken.findings.map { "\($0.level) \($0.subject)" }
        #expect(
            found == ["ok daemon", "warning kube-proxy", "ok kernel", "problem packet"],
            "\(broken)"
        )
    }

    @Test func `on a DaemonSet it stays, unless there is a problem`() throws {
        let node = try node()
        let staying = try node.start("preflight", ["--stay"])
        try staying.wait(for: "found nothing that would stop it")
        #expect(staying.stop() == 0)
        let other = try Stream.listening(node.namespace, "0.0.0.0", port: 10256)
        #expect(try node.command(["preflight", "--stay"]).status == 1)
        withExtendedLifetime(other) {}
    }

    @Test(arguments: ["0.0.0.0", "127.0.0.1", "::"])
    func `a port that is taken is a problem`(address: String) throws {
        let node = try node()
        let other = try Stream.listening(node.namespace, address, port: 10256)
        let (findings, status) = try preflight(node)
        #expect(status == 1)
        let problems = findings.filter { $0.level == "problem" }
        #expect(problems.map(\.subject) == ["health"], "\(findings)")
        withExtendedLifetime(other) {}
    }

    @Test func `without privileges or an API server it says so`() throws {
        let node = try node()
        let weak = try Binary.run(
            ["preflight"] + node.flags,
            in: node.namespace,
            wrapper: ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
        )
        #expect(weak.status == 1)
        #expect(
            weak.output.contains("PROBLEM  kernel") && weak.output.contains("NET_ADMIN"),
            "\(weak.output)"
        )
        let lost = try Binary.run(
            ["preflight", "--master", "http://127.0.0.1:9"],
            in: node.namespace
        )
        #expect(lost.status == 1 && lost.output.contains("PROBLEM  API"), "\(lost.output)")
    }
}

/// What `preflight -o json` prints.
struct PreflightDocument: Decodable {
    struct Finding: Decodable {
        let level: String
        let subject: String
        let text: String
    }

    let findings: [Finding]
    let next: [String]

    init(_ text: String) throws {
        self = try JSONDecoder().decode(Self.self, from: Data(text.utf8))
    }
}
