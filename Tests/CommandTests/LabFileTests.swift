import EmbeddedAPIServer
import FoundationEssentials
import NetworkTypes
import TestSupport
import Testing

@testable import needletail_lab

/// The files that `needletail-lab up --from` reads.
@Suite struct LabFileTests {
    private func read(
        _ text: String,
        _ flags: LabDescription.Flags = LabDescription.Flags()
    ) throws -> LabDescription {
        try LabFileReader(file: "lab.yaml", flags: flags).description(in: text)
    }

    private func reason(
        _ text: String,
        _ flags: LabDescription.Flags = LabDescription.Flags()
    ) -> String {
        do {
            _ = try read(text, flags)
            return "nothing is wrong"
        } catch {
            return "\(error)"
        }
    }

    private func pods(_ description: LabDescription) -> [Topology.Pod] {
        Topology(description.layout, kind: description.network, directory: "/nowhere").pods
    }

    // MARK: Good files

    @Test func `a file that says little is a lab without a file`() throws {
        let usual = LabDescription()
        let file = try read("mode: nftables")
        #expect(file.layout == usual.layout && file.network == .bridge && file.mode == .nftables)
        #expect(file.objects(pods(file)) == usual.objects(pods(usual)))
        #expect(file.loadBalancers == ["web": "203.0.113.10"])
        #expect(try read("nodes: 3\npods: 2").layout == usual.layout)
    }

    @Test func `flags say what the file does not`() throws {
        let flags = LabDescription.Flags(network: .macvlan, nodes: 2, mode: .ipvs)
        let lab = try read("pods: 1", flags)
        #expect(lab.network == .macvlan && lab.mode == .ipvs)
        #expect(lab.layout == ClusterLayout(nodeCount: 2, podNames: ["web-1", "web-2"]))
        // Saying the same twice is no contradiction.
        let same = try read("network: macvlan\nmode: ipvs\nnodes: 2\npods: 1", flags)
        #expect(same.layout == lab.layout)
    }

    @Test func `pods have the names that they are given, and others are numbered in turn`() throws {
        let lab = try read(
            """
            nodes:
              - {name: left, pods: [web-2, db]}
              - {name: right, pods: 2}
              - empty-one
            pods: 1
            """
        )
        #expect(lab.layout.nodes == ["left", "right", "empty-one"])
        #expect(
            lab.layout.pods.map { "\($0.name)@\($0.node)" }
                == ["web-2@0", "db@0", "web-1@1", "web-3@2", "web-4@1"]
        )
        let pods = pods(lab)
        #expect(
            pods.map(\.address) == [
                "10.244.1.2", "10.244.1.3", "10.244.2.2", "10.244.3.2", "10.244.2.3",
            ]
        )
    }

    @Test func `the short form makes a Service with addresses and endpoints`() throws {
        let lab = try read(
            """
            nodes: [{name: one, pods: [web-1, web-2, db-1]}]
            services:
              - {name: first, port: 80}
              - name: web
                type: LoadBalancer
                externalTrafficPolicy: Local
                ports:
                  - {name: http, port: 80, nodePort: 30500}
                  - {name: dns, port: 53, protocol: UDP}
                endpoints: [web-*]
            """
        )
        let objects = lab.objects(pods(lab))
        #expect(
            objects.map { $0["metadata"]["name"].string } == [
                "first", "first-4", "first-6", "web", "web-4", "web-6",
            ]
        )
        let service = objects[3]
        #expect(service["spec"]["clusterIPs"] == ["10.96.0.11", "fd96::11"])
        #expect(service["spec"]["externalTrafficPolicy"] == "Local")
        #expect(service["spec"]["ports"].array?.map { $0["nodePort"] } == [30_500, 30_091])
        #expect(service["status"]["loadBalancer"]["ingress"] == [["ip": "203.0.113.11"]])
        let slice = objects[5]
        #expect(slice["addressType"] == "IPv6")
        #expect(slice["ports"].array?.map { $0["port"] } == [8080, 5353])
        #expect(
            slice["endpoints"].array?.map { $0["addresses"] } == [["fd44:1::2"], ["fd44:1::3"]]
        )
        #expect(objects[1]["endpoints"].array?.count == 3)
        #expect(lab.example == "10.96.0.10:80")
    }

    @Test func `Services have the families that the file says`() throws {
        let lab = try read("families: [IPv6]\nservices: [{name: web, port: 80, endpoints: []}]")
        let objects = lab.objects(pods(lab))
        #expect(objects.map { $0["metadata"]["name"].string } == ["web", "web-6"])
        #expect(objects[0]["spec"]["clusterIPs"] == ["fd96::10"])
        #expect(objects[1]["endpoints"] == [])
        #expect(lab.example == "[fd96::10]:80")
    }

    @Test func `a manifest keeps what it says, and its selector picks pods`() throws {
        let lab = try read(
            """
            nodes: [{name: one, pods: [web-1, cart-1, cart-2]}]
            services:
              - apiVersion: v1
                kind: Service
                metadata: {name: cart, namespace: blue}
                spec:
                  clusterIP: 10.96.7.7
                  selector: {app: cart}
                  ports: [{port: 80, targetPort: http}]
            """
        )
        let objects = lab.objects(pods(lab))
        #expect(objects.map { $0["metadata"]["namespace"].string } == ["blue", "blue", "blue"])
        #expect(objects[0]["spec"]["clusterIP"] == "10.96.7.7")
        #expect(objects[0]["spec"]["clusterIPs"] == .null)
        #expect(objects[1]["ports"].array?.first?["port"] == 8080)
        #expect(
            objects[1]["endpoints"].array?.map { $0["targetRef"]["name"].string }
                == ["cart-1", "cart-2"]
        )
    }

    @Test func `manifests of a file are read beside the lab's file`() throws {
        let folder = FileManager.default.temporaryDirectory.path() + "needletail-\(UUID())"
        try FileManager.default.createDirectory(
            atPath: folder,
            withIntermediateDirectories: false
        )
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let write = { (name: String, text: String) in
            try Data(text.utf8).write(to: URL(filePath: "\(folder)/\(name)"))
        }
        try write(
            "cart.yaml",
            """
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: cart}
            ---
            apiVersion: v1
            kind: List
            items:
              - apiVersion: v1
                kind: Service
                metadata: {name: cart}
                spec: {ports: [{port: 80}]}
              - apiVersion: discovery.k8s.io/v1
                kind: EndpointSlice
                metadata: {name: cart-x, labels: {kubernetes.io/service-name: cart}}
                addressType: IPv4
                ports: [{port: 8080}]
                endpoints: [{addresses: [10.244.1.2]}]
            """
        )
        try write("lab.yaml", "services: [{file: cart.yaml}]")
        let lab = try LabFileReader.description(
            from: "\(folder)/lab.yaml",
            LabDescription.Flags()
        )
        #expect(lab.objects(pods(lab)).map { $0["metadata"]["name"].string } == ["cart", "cart-x"])
        #expect(lab.services.leftOut == ["Deployment cart"])
        // What is wrong is said about the file in which it is.
        try write("cart.yaml", "kind: Service\napiVersion: v1\nspec: {prots: []}")
        let error = #expect(throws: LabFileError.self) {
            try LabFileReader.description(from: "\(folder)/lab.yaml", LabDescription.Flags())
        }
        #expect(error?.file == "\(folder)/cart.yaml")
    }

    @Test func `the example of the documentation is a good file`() throws {
        let lab = try LabFileReader.description(
            from: "\(Fixture.root)/../docs/networks/shop.yaml",
            LabDescription.Flags()
        )
        #expect(lab.network == .flannelVXLAN && lab.layout.nodes == ["left", "right"])
        #expect(lab.services.list.map(\.name) == ["web", "names", "cart"])
        #expect(lab.services.list[2].endpoints == ["cart-1", "cart-2"])
        #expect(lab.services.list[0].object["spec"]["externalTrafficPolicy"] == "Local")
    }

    // MARK: Bad files

    /// Files, and what is said about them.
    private static let bad: [(String, String)] = [
        ("", "lab.yaml: is empty. Allowed keys: network, mode, families, nodes, pods, services"),
        ("a: [", "lab.yaml:2: is no valid YAML: did not find expected node content"),
        ("nodes: 1\n---\nnodes: 2", "lab.yaml:3: is a second document; a lab is one"),
        ("- a", "lab.yaml:1: is no mapping; allowed keys: network, mode, families"),
        (
            "mode: ipvs\nnetwrok: x",
            "lab.yaml:2: netwrok: is no key here; do you mean network? Allowed: "
        ),
        ("colour: red", "lab.yaml:1: colour: is no key here. Allowed: network"),
        ("nodes: 1\nnodes: 2", "lab.yaml:2: nodes: is there twice"),
        ("nodes:", "lab.yaml:1: nodes: has no value"),
        (
            "network: flanel-vxlan",
            "network: flanel-vxlan is no value here; do you mean flannel-vxlan?"
        ),
        (
            "mode: userspace",
            "lab.yaml:1: mode: userspace is no value here. Allowed: nftables, ipvs"
        ),
        ("families: IPv4", "families: is no list"),
        ("families: []", "families: is empty"),
        ("families: [IPV4]", "families[0]: IPV4 is no value here; do you mean IPv4?"),
        ("families: [IPv4, IPv4]", "families[1]: is there twice"),
        ("families: [IPv4]", "families: needs services"),
        (
            "network: flannel-udp\nfamilies: [IPv6]",
            "lab.yaml:2: families[0]: network flannel-udp has no IPv6"
        ),
        ("nodes: 10", "nodes: is no whole number from 1 to 9"),
        ("nodes: []", "nodes: has 0 nodes; 1 to 9 are possible"),
        ("nodes: [Left]", "nodes[0]: Left is no name of at most 15 lower-case letters"),
        ("nodes: [client]", "nodes[0]: client is a place that every lab has"),
        ("nodes: [pod-1]", "nodes[0]: pod-1 is a pod's namespace"),
        ("nodes: [a, a]", "nodes[1]: a is another node or pod"),
        ("nodes: [{name: a, pods: [a]}]", "nodes[0].pods[0]: a is another node or pod"),
        ("nodes: [{pods: 2}]", "nodes[0]: has no name"),
        ("nodes: [{name: a, pods: many}]", "nodes[0].pods: is no whole number from 0 to 20"),
        ("pods: [web]", "pods: is no whole number from 0 to 20"),
        ("nodes: [{name: a, pod: 2}]", "nodes[0].pod: is no key here; do you mean pods?"),
    ]

    @Test(arguments: bad) func `what is wrong is said with its line`(text: String, said: String) {
        let reason = reason(text)
        #expect(reason.contains(said), "\(reason)")
        #expect(reason.hasPrefix("lab.yaml:"))
    }

    /// Services on line 2 and after it, and what is said about them.
    private static let badServices: [(String, String)] = [
        ("  - {port: 80}", "lab.yaml:2: services[0]: has no name"),
        ("  - {name: web}", "lab.yaml:2: services[0]: has neither port nor ports"),
        (
            "  - name: web\n    prot: 80",
            "lab.yaml:3: services[0].prot: is no key here; do you mean port?"
        ),
        ("  - {name: web, port: 80, type: Loadbalancer}", "do you mean LoadBalancer?"),
        ("  - {name: web, port: 0}", "services[0].port: is no whole number from 1 to 65535"),
        ("  - {name: web, port: '80'}", "services[0].port: is no whole number from 1 to 65535"),
        (
            "  - {name: web, port: 80, nodePort: 30100}",
            "services[0].nodePort: needs type NodePort or LoadBalancer"
        ),
        (
            "  - {name: web, port: 80, type: NodePort, nodePort: 80}",
            "is no whole number from 30000 to 32767"
        ),
        (
            "  - {name: web, port: 80, externalTrafficPolicy: Local}",
            "externalTrafficPolicy: needs type"
        ),
        (
            "  - {name: web, port: 80, targetPort: 3000}",
            "3000/TCP is nothing on which pods of a lab answer. Allowed: 8080, 8090"
        ),
        ("  - {name: web, port: 80, ports: []}", "services[0].port: belongs to an entry of ports"),
        ("  - {name: web, ports: []}", "services[0].ports: is empty"),
        ("  - {name: web, ports: [{port: 80}]}", "services[0].ports[0]: has no name"),
        (
            "  - {name: web, ports: [{name: a, port: 80}, {name: a, port: 81}]}",
            "ports[1].name: is another port's name"
        ),
        (
            "  - {name: web, port: 80, endpoints: [wbe-1]}",
            "endpoints[0]: wbe-1 is no pod here; do you mean web-1?"
        ),
        ("  - {name: web, port: 80, endpoints: [db-*]}", "db-* is no pod here"),
        (
            "  - {name: web, port: 80}\n  - {name: web, port: 81}",
            "lab.yaml:3: services[1]: shop/web is there twice"
        ),
        (
            "  - {name: a, type: NodePort, port: 80, nodePort: 30090}\n  - {name: b, type: NodePort, port: 80}",
            "services[1]: node port 30090 is a's, too"
        ),
        ("  - {file: nowhere.yaml}", "nowhere.yaml: does not exist"),
        (
            "  - {kind: Ingress, apiVersion: v1}",
            "a lab has no use for Ingress. Allowed: Service, EndpointSlice"
        ),
        ("  - {apiVersion: v1}", "is no Kubernetes object: it has no kind"),
        (
            "  - kind: Service\n    apiVersion: v1\n    metadata: {name: web}",
            "lab.yaml:2: services[0]: has no spec"
        ),
        (
            "  - kind: Service\n    apiVersion: v1\n    metadata: {name: web}\n    spec:\n      prots: []",
            "lab.yaml:6: services[0].spec.prots: is no key here; do you mean ports?"
        ),
        (
            "  - kind: Service\n    apiVersion: v1\n    metadata: {name: web}\n    spec:\n      ports:\n        - port: x",
            "lab.yaml:7: services[0].spec.ports[0].port: is not a whole number"
        ),
        (
            "  - kind: Service\n    apiVersion: v1\n    metadata: {name: web}\n    spec: {clusterIP: 10.96.0.300}",
            "lab.yaml:5: services[0].spec.clusterIP"
        ),
        (
            "  - kind: Service\n    apiVersion: v1\n    metadata: {name: web}\n    spec: {selector: {app: wbe}}",
            "services[0].spec.selector.app: wbe is no group of pods here; do you mean web?"
        ),
        (
            "  - kind: Service\n    apiVersion: v1\n    metadata: {name: web}\n    spec: {selector: {tier: web}}",
            "selector.tier: is no key here. Allowed: app, app.kubernetes.io/name"
        ),
    ]

    @Test(arguments: badServices)
    func `what is wrong with a Service is said with its line`(text: String, said: String) {
        let reason = reason("services:\n" + text)
        #expect(reason.contains(said), "\(reason)")
    }

    @Test func `a flag that says something else than the file is refused`() {
        #expect(
            reason("network: macvlan", LabDescription.Flags(network: .bridge))
                == "lab.yaml:1: network: is macvlan, and --network says bridge; leave one of them out"
        )
        #expect(
            reason("mode: ipvs", LabDescription.Flags(mode: .nftables))
                .contains("mode: is ipvs, and --mode says nftables")
        )
        for text in ["nodes: 2", "nodes: [a, b]"] {
            #expect(
                reason(text, LabDescription.Flags(nodes: 3))
                    .contains("nodes: has 2 nodes, and --nodes says 3")
            )
        }
    }

    @Test func `a near word differs in a few letters`() {
        let words = ["bridge", "macvlan", "flannel-vxlan"]
        #expect(nearest(to: "brigde", among: words) == "bridge")
        #expect(nearest(to: "MACVLAN", among: words) == "macvlan")
        #expect(nearest(to: "flannel", among: words) == nil)
        #expect(nearest(to: "x", among: []) == nil)
    }
}
