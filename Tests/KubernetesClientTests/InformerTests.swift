import EmbeddedAPIServer
import FoundationEssentials
@testable import KubernetesClient
import KubernetesModel
import TestSupport
import Testing

/// Tests that must pass with every API server.
@Suite(.timeLimit(.minutes(30))) struct InformerTests {
    @Test(arguments: ServerKind.available, WireEncoding.allCases)
    func `a list, then each change`(kind: ServerKind, encoding: WireEncoding) async throws {
        let cluster = try await TestCluster(kind, encoding)
        defer { cluster.stop() }
        try await cluster.put(Sample.services, Sample.service("a"))
        var services = Observed<Service>(cluster.client)
        await services.wait { $0["a"] != nil }
        try await cluster.put(Sample.services, Sample.service("b"))
        await services.wait { $0["b"]?.ports.map(\.port) == [80] }
        try await cluster.delete("\(Sample.services)/a")
        await services.wait { $0["a"] == nil }
        #expect(services.log.count { $0.hasPrefix("list") } == 1)
        services.stop()
    }

    @Test(arguments: ServerKind.available, WireEncoding.allCases)
    func `what a proxy need not see is not sent`(
        kind: ServerKind,
        encoding: WireEncoding
    ) async throws {
        let cluster = try await TestCluster(kind, encoding)
        defer { cluster.stop() }
        var services = Observed<Service>(cluster.client)
        await services.next()
        let label = "service.kubernetes.io/service-proxy-name"
        var headless = Sample.service("headless")
        headless["spec"]["clusterIP"] = "None"
        try await cluster.put(Sample.services, headless)
        try await cluster.put(Sample.services, Sample.service("a", labels: [label: "x"]))
        // This label matters on EndpointSlices only.
        let other = "service.kubernetes.io/headless"
        try await cluster.put(Sample.services, Sample.service("labelled", labels: [other: ""]))
        try await cluster.put(Sample.services, Sample.service("b"))
        await services.wait { $0["b"] != nil }
        #expect(services.view["headless"] == nil && services.view["a"] == nil)
        #expect(services.view["labelled"] != nil)
        var slices = Observed<EndpointSlice>(cluster.client)
        for name in [other, label] {
            var slice = Sample.slice(name == other ? "headless" : "proxied", ["10.1.0.1"])
            slice["metadata"]["labels"][name] = "x"
            try await cluster.put(Sample.slices, slice)
        }
        await slices.wait { $0["proxied"] != nil }
        #expect(slices.view["headless"] == nil)
        slices.stop()
        // An object that leaves the selector is gone.
        try await cluster.client.send(
            "PATCH",
            "\(Sample.services)/b",
            Array(#"{"metadata": {"labels": {"\#(label)": "x"}}}"#.utf8),
            contentType: "application/merge-patch+json"
        )
        await services.wait { $0["b"] == nil }
        services.stop()
    }

    @Test(arguments: ServerKind.available, WireEncoding.allCases)
    func `EndpointSlices, Endpoints, this node and ServiceCIDRs`(
        kind: ServerKind,
        encoding: WireEncoding
    ) async throws {
        let cluster = try await TestCluster(kind, encoding)
        defer { cluster.stop() }
        try await cluster.put(Sample.slices, Sample.slice("s", ["10.1.0.1", "10.1.0.2"]))
        try await cluster.put(
            "/api/v1/namespaces/default/endpoints",
            [
                "metadata": ["name": "web"], "kind": "Endpoints", "apiVersion": "v1",
                "subsets": [
                    [
                        "addresses": [["ip": "10.1.0.3"]],
                        "notReadyAddresses": [["ip": "10.1.0.4"]],
                        "ports": [["name": "http", "port": 8080]],
                    ]
                ],
            ]
        )
        for name in ["here", "there"] {
            try await cluster.put(
                "/api/v1/nodes",
                ["metadata": ["name": .string(name)], "kind": "Node", "apiVersion": "v1"]
            )
        }
        var slices = Observed<EndpointSlice>(cluster.client)
        await slices.wait {
            $0["s"]?.endpoints.map(\.address.description) == ["10.1.0.1", "10.1.0.2"]
        }
        var endpoints = Observed<Endpoints>(cluster.client)
        await endpoints.wait { $0["web"]?.slices[0].endpoints.map(\.isReady) == [true, false] }
        var nodes = Observed<Node>(cluster.client)
        await nodes.wait { $0.keys.sorted() == ["here"] }
        var cidrs = Observed<ServiceCIDR>(cluster.client, isOptional: true)
        await cidrs.wait { $0["kubernetes"]?.cidrs.isEmpty == false }
        slices.stop()
        endpoints.stop()
        nodes.stop()
        cidrs.stop()
    }

    @Test(arguments: ServerKind.available, WireEncoding.allCases)
    func `a long list comes in pages`(kind: ServerKind, encoding: WireEncoding) async throws {
        let cluster = try await TestCluster(kind, encoding)
        defer { cluster.stop() }
        for index in 0..<7 { try await cluster.put(Sample.slices, Sample.slice("s\(index)", [])) }
        var names: [String] = []
        var token = ""
        var pages = 0
        repeat {
            var query: URLQuery = ["limit": "3"]
            query.add("continue", token)
            let page: ListPage<EndpointSlice> = try await cluster.client.page(
                EndpointSlice.self,
                query
            )
            names += page.objects.map(\.name.name)
            (token, pages) = (page.continueToken, pages + 1)
        } while !token.isEmpty
        #expect(names.filter { $0.hasPrefix("s") } == (0..<7).map { "s\($0)" })
        #expect(pages >= 3)
    }
}
