import NetworkTypes
import TestSupport
import Testing

@testable import needletail_lab

/// The ingress of a lab's file, and nginx's configuration for it.
@Suite struct LabIngressTests {
    private static let file = """
        nodes:
          - {name: left, pods: [gate, web-1]}
          - {name: right, pods: [cart-1]}
        services:
          - {name: gate, type: NodePort, port: 80, endpoints: [gate]}
          - {name: web, port: 80}
          - {name: names, port: 53, protocol: UDP}
        ingress:
          pod: gate
          rules:

        """

    private func read(_ rules: String) throws -> LabDescription {
        try LabFileReader(file: "lab.yaml", flags: LabDescription.Flags())
            .description(in: Self.file + rules)
    }

    private func backends(_ number: Int) throws -> [FrontendKey] {
        [
            try FrontendKey("10.96.0.\(number)", .tcp, 80),
            try FrontendKey("fd96::\(number)", .tcp, 80),
        ]
    }

    @Test func `rules lead to the cluster IPs of Services`() throws {
        let lab = try read("    - {path: /shop, service: web}\n    - {host: a.b, service: gate}")
        #expect(
            lab.ingress == [
                IngressRule(path: "/shop", backends: try backends(11)),
                IngressRule(host: "a.b", path: "/", backends: try backends(10)),
            ]
        )
        let topology = Topology(lab.layout, kind: lab.network, directory: "/nowhere")
        #expect(topology.ingress?.address == "10.244.1.2")
        #expect(topology.pods.map(\.name) == ["web-1", "cart-1"])
        // A Service without a list of endpoints has the pods that answer.
        #expect(
            lab.services.list.map(\.endpoints) == [
                ["gate"], ["web-1", "cart-1"], ["web-1", "cart-1"],
            ]
        )
    }

    @Test func `the example of the documentation is a good file`() throws {
        let lab = try LabFileReader.description(
            from: "\(Fixture.root)/../docs/networks/ingress.yaml",
            LabDescription.Flags()
        )
        #expect(lab.layout.ingress == "gate-1")
        #expect(lab.ingress.map(\.path) == ["/shop", "/cart", "/"])
        #expect(lab.ingress.map(\.host) == [nil, nil, "cart.example"])
    }

    @Test(arguments: [
        ("    []", "ingress.rules: is empty"),
        ("    - {path: /a}", "lab.yaml:11: ingress.rules[0]: has no service"),
        ("    - {service: wbe}", "wbe is no Service of this file here; do you mean web?"),
        ("    - {service: names}", "names has no cluster IP with a port over TCP"),
        ("    - {service: web, path: a}", "a does not begin with a slash"),
        ("    - {service: web, path: /a/}", "/a/ does not begin with a slash, or ends with one"),
        ("    - {service: web, path: '/a;b'}", "/a;b is no path of letters, digits and"),
        ("    - {service: web, host: 'a b'}", "a b is no host of letters, digits and"),
        (
            "    - {service: web}\n    - {service: gate}",
            "lab.yaml:12: ingress.rules[1]: has the host"
        ),
        (
            "    - {service: web, paht: /a}",
            "ingress.rules[0].paht: is no key here; do you mean path?"
        ),
    ])
    func `what is wrong is said with its line`(rules: String, said: String) {
        let error = #expect(throws: LabFileError.self) { try read(rules) }
        #expect(error?.description.contains(said) ?? false, "\(error?.description ?? "")")
    }

    @Test(arguments: [
        ("ingress: {rules: []}", "ingress: has no pod"),
        ("ingress: {pod: web-1}", "ingress: has no rules"),
        (
            "ingress: {pod: wbe-1, rules: []}",
            "ingress.pod: wbe-1 is no pod here; do you mean web-1?"
        ),
        (
            "ingress: {pod: web-1, rules: [{service: web}]}",
            "ingress.rules[0].service: web is no Service of this file here. Allowed: "
        ),
    ])
    func `an ingress needs a pod, rules and Services of the file`(text: String, said: String) {
        let reader = LabFileReader(file: "lab.yaml", flags: LabDescription.Flags())
        let error = #expect(throws: LabFileError.self) { try reader.description(in: text) }
        #expect(error?.description.contains(said) ?? false, "\(error?.description ?? "")")
    }

    // MARK: nginx

    /// The lines of the configuration that belong to one listening address, without indentation.
    private func lines(_ rules: [IngressRule], _ listen: String) -> [String] {
        let text = rules.configuration(port: 8080, directory: "/nowhere")
        let servers = text.split(separator: "server {").dropFirst()
            .filter { $0.contains("listen \(listen)") }
        return servers.flatMap { server in
            server.split(separator: "\n").map { String($0.drop { $0 == " " }) }
        }.filter { $0.hasPrefix("location") || $0.hasPrefix("server_name") }
    }

    @Test func `a path stands for itself and what is below it, in each family`() throws {
        let rules = [IngressRule(path: "/shop", backends: try backends(11))]
        #expect(
            lines(rules, "0.0.0.0:8080") == [
                "server_name _;",
                "location = /shop { proxy_pass http://10.96.0.11:80; }",
                "location /shop/ { proxy_pass http://10.96.0.11:80; }",
                "location / { return 404; }",
            ]
        )
        #expect(
            lines(rules, "[::]:8080").contains(
                "location = /shop { proxy_pass http://[fd96::11]:80; }"
            )
        )
    }

    @Test func `a host has a server of its own, and what it does not know is not found`() throws {
        let rules = [
            IngressRule(host: "cart.example", backends: try backends(12)),
            IngressRule(host: "cart.example", path: "/shop", backends: try backends(11)),
        ]
        #expect(
            lines(rules, "0.0.0.0:8080") == [
                "server_name _;", "location / { return 404; }", "server_name cart.example;",
                "location / { proxy_pass http://10.96.0.12:80; }",
                "location = /shop { proxy_pass http://10.96.0.11:80; }",
                "location /shop/ { proxy_pass http://10.96.0.11:80; }",
            ]
        )
    }

    @Test func `a Service of one family is not found in the other`() throws {
        let rules = [IngressRule(backends: [try FrontendKey("10.96.0.11", .tcp, 80)])]
        #expect(!lines(rules, "[::]:8080").contains { $0.contains("proxy_pass") })
    }

    @Test func `the checks' ingress is a pod of its own on the first node`() throws {
        var layout = ClusterLayout(nodeCount: 3)
        layout.addIngress()
        let topology = Topology(layout, kind: .bridge, directory: "/nowhere")
        #expect(topology.pods.count == 6 && topology.ingress?.node.index == 1)
        #expect(topology.ingress?.address == "10.244.1.4")
        let services = NetworkServices(topology)
        #expect(services.ingress?.local.pods.map(\.name) == ["ingress"])
        #expect(!services.all.pods.contains { $0.name == "ingress" })
        #expect(services.objects.count == 10 * 3)
    }
}
