import BinarySupport
import EmbeddedAPIServer
import NetworkNamespaces
import TestSupport
import Testing

/// Tests of what `explain` reads of a cluster.
@Suite(.timeLimit(.minutes(30))) struct ExplainSourceTests {
    private let namespace: NetworkNamespace
    private let server: APIServer
    private let url: String

    init() throws {
        namespace = try NetworkNamespace()
        try namespace.ip(["link set lo up"])
        (server, url) = try APIServer.listening(in: namespace)
        try server.apply(["kind": "Node", "metadata": ["name": "here"]])
        for index in 1...20 {
            try add("web-\(index)", ["clusterIP": .string("10.96.0.\(index)")], "10.244.1.\(index)")
        }
        try add("one", ["externalIPs": ["203.0.113.9"], "clusterIP": "10.96.1.1"], "10.244.2.1")
        try add("two", ["externalIPs": ["203.0.113.9"], "clusterIP": "10.96.1.2"], "10.244.2.2")
        try add(
            "three",
            [
                "type": "NodePort", "clusterIP": "10.96.1.3",
                "ports": [["name": "http", "port": 80, "nodePort": 30080]],
            ],
            "10.244.2.3"
        )
    }

    private func add(_ name: String, _ spec: JSONValue, _ endpoint: String) throws {
        var service: JSONValue = [
            "kind": "Service", "metadata": ["name": .string(name), "namespace": "shop"],
            "spec": spec,
        ]
        if spec["ports"] == .null { service["spec"]["ports"] = [["name": "http", "port": 80]] }
        try server.apply(service)
        try server.apply([
            "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": [
                "name": .string("\(name)-1"), "namespace": "shop",
                "labels": ["kubernetes.io/service-name": .string(name)],
            ],
            "ports": [["name": "http", "port": 8080]],
            "endpoints": [["addresses": [.string(endpoint)]]],
        ])
    }

    /// Explains something, with the lists that were asked for.
    private func explain(_ target: String) throws -> (text: String, lists: [String]) {
        let before = server.requests.count
        let answer = try Binary.run(
            ["explain", target, "--master", url, "--hostname-override", "here"]
                + ["--node-ip", "192.0.2.1", "--nodeport-addresses", "primary"],
            in: namespace
        )
        return (answer.output, server.requests.dropFirst(before).filter { !$0.contains("/nodes") })
    }

    /// Whether nothing narrows a list.
    private func isWhole(_ request: String) -> Bool {
        !["/namespaces/", "spec.clusterIP=1", "/servicecidrs"].contains { request.contains($0) }
    }

    @Test(arguments: ["shop/web-7", "10.96.0.7:80", "10.96.0.7"])
    func `of a Service with a cluster IP only its own objects are read`(target: String) throws {
        defer { server.stop() }
        let (text, lists) = try explain(target)
        #expect(text.contains("10.96.0.7:80/tcp  ClusterIP of shop/web-7:http"), "\(text)")
        #expect(text.contains("10.244.1.7:8080") && !text.contains("web-8"), "\(text)")
        #expect(!lists.isEmpty && !lists.contains(where: isWhole), "\(lists)")
    }

    @Test func `rivals for an address are found, and the Service of a NodePort`() throws {
        defer { server.stop() }
        let two = try explain("shop/two")
        #expect(two.text.contains("203.0.113.9:80/tcp belongs to Service shop/one"), "\(two.text)")
        #expect(two.lists.count(where: isWhole) == 1)
        let one = try explain("203.0.113.9:80")
        #expect(
            one.text.contains("203.0.113.9:80/tcp  ExternalIP of shop/one:http"),
            "\(one.text)"
        )
        let port = try explain("192.0.2.1:30080")
        #expect(
            port.text.contains("192.0.2.1:30080/tcp  NodePort of shop/three:http"),
            "\(port.text)"
        )
        #expect(port.text.contains("10.244.2.3:8080"))
        let none = try explain("10.96.0.7:81")
        #expect(none.text.contains("rejected: the cluster IP has no such port"), "\(none.text)")
        #expect(try explain("shop/none").text.contains("there is no Service shop/none"))
    }
}
