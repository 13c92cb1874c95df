import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Tests with connection tracking entries made with the conntrack tool, as if by packets.
@Suite struct StaleEntriesTests {
    private func plan(
        _ endpoints: [String],
        draining: [String] = [],
        transport: TransportProtocol = .udp,
        affinity: UInt32? = nil
    ) -> ServicePlan {
        let pool = Pool(
            endpoints.map { Endpoint(ip($0), 5353, isLocal: false) },
            draining: draining.map { Endpoint(ip($0), 5353, isLocal: false) }
        )
        return ServicePlan(
            service: "test/dns",
            frontends: [
                Frontend(
                    key: FrontendKey(ip("10.96.0.10"), transport, 53),
                    kind: .clusterIP,
                    portName: "",
                    action: endpoints.isEmpty ? .reject : .balance(pool: 0),
                    masquerade: .nonPods,
                    affinityTimeout: affinity
                )
            ],
            pools: [pool]
        )
    }

    private func track(
        _ table: KernelTable,
        _ source: Int,
        to destination: String = "10.96.0.10",
        via endpoint: String,
        port: Int = 5353,
        transport: String = "udp"
    ) throws {
        let state = transport == "tcp" ? ["--state", "ESTABLISHED"] : []
        try table.namespace.run(
            [
                "conntrack", "-I", "-p", transport, "-s", "10.1.0.1", "-d", destination, "--sport",
                "\(source)",
                "--dport", "53", "-r", endpoint, "-q", "10.1.0.1", "--reply-port-src", "\(port)",
                "--reply-port-dst", "\(source)", "--timeout", "600",
            ] + state
        )
    }

    /// Returns the client ports of the remaining entries.
    private func tracked(_ table: KernelTable) throws -> [Int] {
        try table.namespace.run(["conntrack", "-L"]).split(separator: "\n").compactMap { line in
            line.split(separator: " ").first { $0.hasPrefix("sport=") }.flatMap {
                Int($0.dropFirst(6))
            }
        }.sorted()
    }

    @Test func `connections to endpoints that went are deleted, others are not touched`()
        async throws
    {
        let table = try KernelTable()
        _ = try await table.client.commit(
            .everything([plan(["10.244.1.5", "10.244.2.5", "10.244.3.5"])]),
            node: table.node
        )
        try track(table, 1001, via: "10.244.1.5")
        try track(table, 1002, via: "10.244.2.5")
        try track(table, 1003, via: "10.244.3.5")
        try track(table, 1004, to: "192.0.2.99", via: "192.0.2.99", port: 53)
        try track(table, 1005, via: "10.244.1.5", transport: "tcp")
        let report = try await table.client.commit(
            .some([("test/dns", plan(["10.244.2.5"], draining: ["10.244.3.5"]))]),
            node: table.node
        )
        #expect(try tracked(table) == [1002, 1003, 1004, 1005])
        #expect(report.staleEntriesRemoved == 1)
    }

    // kubernetes/kubernetes#139628
    @Test func `a Service that lost all endpoints loses its connections`() async throws {
        let table = try KernelTable()
        _ = try await table.client.commit(.everything([plan(["10.244.1.5"])]), node: table.node)
        try track(table, 1001, via: "10.244.1.5")
        _ = try await table.client.commit(.some([("test/dns", plan([]))]), node: table.node)
        #expect(try tracked(table) == [])
    }

    // kubernetes/kubernetes#141371
    @Test func `a deleted Service loses its connections`() async throws {
        let table = try KernelTable()
        _ = try await table.client.commit(.everything([plan(["10.244.1.5"])]), node: table.node)
        try track(table, 1001, via: "10.244.1.5")
        try track(table, 1002, via: "10.96.0.10", port: 53)
        _ = try await table.client.commit(.some([("test/dns", nil)]), node: table.node)
        #expect(try tracked(table) == [])
    }

    @Test func `a Service deleted while nobody watched loses its connections at the start`()
        async throws
    {
        let table = try KernelTable()
        try track(table, 1001, via: "10.244.1.5")
        try track(table, 1002, to: "192.0.2.99", via: "10.244.1.5")
        _ = try await table.client.commit(.everything([]), node: table.node)
        #expect(try tracked(table) == [1002])
    }

    // kubernetes/kubernetes#48370
    @Test func `a flow that began before its Service is deleted, so that it is translated`()
        async throws
    {
        let table = try KernelTable()
        _ = try await table.client.commit(.everything([]), node: table.node)
        try track(table, 1001, via: "10.96.0.10", port: 53)
        _ = try await table.client.commit(
            .some([("test/dns", plan(["10.244.1.5"]))]),
            node: table.node
        )
        #expect(try tracked(table) == [])
    }

    // kubernetes/kubernetes#122740
    @Test func `a restart keeps what is right`() async throws {
        let table = try KernelTable()
        _ = try await table.client.commit(.everything([plan(["10.244.1.5"])]), node: table.node)
        try track(table, 1001, via: "10.244.1.5")
        try track(table, 1002, via: "10.244.9.9")
        let restarted = try KernelTable.open(table.namespace)
        _ = try await restarted.commit(.everything([plan(["10.244.1.5"])]), node: table.node)
        #expect(try tracked(table) == [1001])
    }

    // kubernetes/kubernetes#110302
    @Test func `clients forget an endpoint that went, and no other`() async throws {
        let table = try KernelTable()
        _ = try await table.client.commit(
            .everything([plan(["10.244.1.5", "10.244.2.5"], affinity: 600)]),
            node: table.node
        )
        let entry = { (client: String, endpoint: String) in
            try table.newerNft(
                "add",
                "element",
                "ip",
                "needletail",
                "affinity",
                "{ \(ClientBucket.of(ip(client))) . 10.96.0.10 . udp . 53 timeout 1h : \(endpoint) . 5353 }"
            )
        }
        _ = try entry("10.1.0.1", "10.244.1.5")
        _ = try entry("10.1.0.2", "10.244.2.5")
        // Another program wrote into our table; we notice it and read the table again.
        let gone = plan(["10.244.2.5", "10.244.3.5"], affinity: 600)
        _ = try await table.client.commit(.everything([gone]), node: table.node)
        let map = try table.nft("list", "map", "ip", "needletail", "affinity")
        #expect(!map.contains(": 10.244.1.5 ") && map.contains(": 10.244.2.5 "), "\(map)")
        let restarted = try KernelTable.open(table.namespace)
        _ = try await restarted.commit(.everything([gone]), node: table.node)
        #expect(
            try table.nft("list", "map", "ip", "needletail", "affinity").contains(": 10.244.2.5 ")
        )
        _ = try await restarted.commit(.some([("test/dns", nil)]), node: table.node)
        #expect(
            try !table.nft("list", "map", "ip", "needletail", "affinity").contains(": 10.244.2.5 ")
        )
    }
}
