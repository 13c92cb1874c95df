import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Tests of connections without a handshake when a change decides who may go where.
///
/// Entries are made with the conntrack tool, as if packets had made them.
@Suite struct PolicyChangeTests {
    private static let key = ("192.0.2.1", UInt16(30053))

    private func frontend(
        _ transport: TransportProtocol,
        action: Frontend.Action,
        masquerade: Frontend.Masquerade = .everyone,
        sources: [String]? = nil
    ) -> Frontend {
        Frontend(
            key: FrontendKey(ip(Self.key.0), transport, Self.key.1),
            kind: .nodePort,
            portName: "",
            action: action,
            masquerade: masquerade,
            allowedSources: sources?.map(prefix)
        )
    }

    private func endpoints(_ addresses: [String], isLocal: Bool) -> [Endpoint] {
        addresses.map { Endpoint(ip($0), 5353, isLocal: isLocal) }
    }

    /// Returns pools in which local endpoints are 10.244.1.x and those of other nodes 10.244.2.x.
    private func pools() -> [Pool] {
        let draining =
            endpoints(["10.244.1.9"], isLocal: true)
            + endpoints(["10.244.2.9"], isLocal: false)
        let local = endpoints(["10.244.1.5"], isLocal: true)
        return [
            Pool(local + endpoints(["10.244.2.5"], isLocal: false), draining: draining),
            Pool(local, draining: draining),
        ]
    }

    private func plan(_ frontend: Frontend) -> ServicePlan {
        ServicePlan(service: "test/dns", frontends: [frontend], pools: pools())
    }

    private func clusterPolicy(_ transport: TransportProtocol) -> ServicePlan {
        plan(frontend(transport, action: .balance(pool: 0)))
    }

    private func localPolicy(_ transport: TransportProtocol) -> ServicePlan {
        plan(frontend(transport, action: .split(cluster: 0, local: 1), masquerade: .node))
    }

    /// Adds a connection tracking entry.
    ///
    /// - Parameter seenAs: the address that the endpoint answers to
    private func track(
        _ table: KernelTable,
        _ port: Int,
        from client: String,
        to endpoint: String,
        seenAs: String? = nil,
        _ transport: TransportProtocol
    ) throws {
        let state =
            transport == .sctp
            ? ["--state", "ESTABLISHED", "--orig-vtag", "1", "--reply-vtag", "2"] : []
        try table.namespace.run(
            [
                "conntrack", "-I", "-p", "\(transport)", "-s", client, "-d", Self.key.0,
                "--sport", "\(port)", "--dport", "\(Self.key.1)", "-r", endpoint, "-q",
                seenAs ?? client, "--reply-port-src", "5353", "--reply-port-dst", "\(port)",
                "--timeout", "600",
            ] + state
        )
    }

    private func tracked(_ table: KernelTable) throws -> [Int] {
        try table.namespace.run(["conntrack", "-L"]).split(separator: "\n").compactMap { line in
            line.split(separator: " ").first { $0.hasPrefix("sport=") }.flatMap {
                Int($0.dropFirst(6))
            }
        }.sorted()
    }

    /// Changes from one plan to another, either live or with a restart between them.
    private func change(
        _ table: KernelTable,
        from old: ServicePlan,
        to new: ServicePlan?,
        isRestart: Bool,
        between: () throws -> Void
    ) async throws {
        _ = try await table.client.commit(.everything([old]), node: table.node)
        try between()
        if isRestart {
            let plans = new.map { [$0] } ?? []
            let restarted = try KernelTable.open(table.namespace)
            _ = try await restarted.commit(.everything(plans), node: table.node)
        } else {
            _ = try await table.client.commit(.some([(old.service, new)]), node: table.node)
        }
    }

    @Test(arguments: [TransportProtocol.udp, .sctp], [false, true])
    func `policy Local moves who comes from outside, and nobody else`(
        transport: TransportProtocol,
        isRestart: Bool
    ) async throws {
        let table = try KernelTable()
        try table.namespace.ip(["addr add 192.0.2.1/32 dev lo"])
        let (outside, pod, node) = ("203.0.113.9", "10.1.0.1", "192.0.2.1")
        try await change(
            table,
            from: clusterPolicy(transport),
            to: localPolicy(transport),
            isRestart: isRestart
        ) {
            try track(table, 1001, from: outside, to: "10.244.2.5", seenAs: node, transport)
            // The endpoint must see this client's own address from now on.
            try track(table, 1002, from: outside, to: "10.244.1.5", seenAs: node, transport)
            try track(table, 1003, from: outside, to: "10.244.1.5", transport)
            try track(table, 1004, from: outside, to: "10.244.1.9", transport)
            try track(table, 1005, from: outside, to: "10.244.2.9", transport)
            try track(table, 1006, from: pod, to: "10.244.2.5", seenAs: node, transport)
            try track(table, 1007, from: node, to: "10.244.2.5", transport)
            try track(table, 1008, from: pod, to: "10.244.2.9", transport)
            try track(table, 1009, from: outside, to: "10.244.7.7", transport)
            try track(table, 1010, from: pod, to: "10.244.7.7", transport)
        }
        #expect(try tracked(table) == [1003, 1004, 1006, 1007, 1008])
    }

    @Test(arguments: [TransportProtocol.udp, .sctp], [false, true])
    func `whom new source ranges shut out is cut off, and nobody else`(
        transport: TransportProtocol,
        isRestart: Bool
    ) async throws {
        let table = try KernelTable()
        let narrow = frontend(
            transport,
            action: .balance(pool: 0),
            sources: ["198.51.100.0/24", "203.0.113.0/29", "203.0.113.64/29"]
        )
        try await change(
            table,
            from: clusterPolicy(transport),
            to: plan(narrow),
            isRestart: isRestart
        ) {
            for (port, client) in [
                (1001, "198.51.99.255"), (1002, "198.51.100.0"), (1003, "198.51.100.255"),
                (1004, "198.51.101.0"), (1005, "203.0.113.7"), (1006, "203.0.113.8"),
                (1007, "203.0.113.64"), (1008, "203.0.113.72"),
            ] { try track(table, port, from: client, to: "10.244.1.5", transport) }
        }
        #expect(try tracked(table) == [1002, 1003, 1005, 1007])
    }

    @Test(arguments: [false, true])
    func `wider source ranges, and the policy Cluster, cut off nobody`(isRestart: Bool) async throws
    {
        let table = try KernelTable()
        let before = frontend(
            .udp,
            action: .split(cluster: 0, local: 1),
            masquerade: .node,
            sources: ["203.0.113.0/24"]
        )
        let after = frontend(.udp, action: .balance(pool: 0), sources: ["203.0.112.0/23"])
        try await change(table, from: plan(before), to: plan(after), isRestart: isRestart) {
            try track(table, 1001, from: "203.0.113.9", to: "10.244.1.5", .udp)
            try track(table, 1002, from: "203.0.113.9", to: "10.244.1.9", .udp)
        }
        #expect(try tracked(table) == [1001, 1002])
    }

    // Topology hints may exclude local endpoints from the endpoints that all clients share.
    @Test func `the policy Cluster moves who was at an endpoint that it does not use`() async throws
    {
        let table = try KernelTable()
        var after = plan(frontend(.udp, action: .balance(pool: 0)))
        after.pools = [Pool(endpoints(["10.244.2.5"], isLocal: false))]
        try await change(table, from: localPolicy(.udp), to: after, isRestart: false) {
            try track(table, 1001, from: "203.0.113.9", to: "10.244.1.5", .udp)
            try track(table, 1002, from: "10.1.0.1", to: "10.244.2.5", .udp)
        }
        #expect(try tracked(table) == [1002])
    }

    @Test func `an endpoint that moves to another node is no longer who serves outsiders`()
        async throws
    {
        let table = try KernelTable()
        var after = localPolicy(.udp)
        after.pools = [
            Pool(endpoints(["10.244.1.5", "10.244.2.5"], isLocal: false)), Pool([]),
        ]
        after.frontends[0].action = .split(cluster: 0, local: nil)
        try await change(table, from: localPolicy(.udp), to: after, isRestart: false) {
            try track(table, 1001, from: "203.0.113.9", to: "10.244.1.5", .udp)
            try track(table, 1002, from: "10.1.0.1", to: "10.244.1.5", .udp)
        }
        #expect(try tracked(table) == [1002])
    }

    @Test(arguments: [
        LocalDetection.interface("pods0"), .interfacePrefix("pods"), .none,
    ])
    func `pods are told as the rules tell them`(detection: LocalDetection) async throws {
        var table = try KernelTable()
        try table.namespace.ip([
            "link add pods0 type veth peer name pods1", "link set pods0 up",
            "link set pods1 up", "link add up0 type veth peer name up1", "link set up0 up",
            "link set up1 up", "addr add 192.0.2.1/24 dev up0", "route add 10.1.0.0/16 dev pods0",
            "route add default dev up0",
        ])
        table.node = TableInputs(NodeFacts(localDetection: detection))
        try await change(
            table,
            from: clusterPolicy(.udp),
            to: localPolicy(.udp),
            isRestart: false
        ) {
            try track(table, 1001, from: "203.0.113.9", to: "10.244.2.5", .udp)
            try track(table, 1002, from: "10.1.0.1", to: "10.244.2.5", .udp)
            try track(table, 1003, from: "192.0.2.1", to: "10.244.2.5", .udp)
        }
        #expect(try tracked(table) == (detection == .none ? [1003] : [1002, 1003]))
    }

    @Test(arguments: [TransportProtocol.udp, .sctp], [false, true])
    func `what was removed while nobody watched lets its flows go at the start`(
        transport: TransportProtocol,
        isOtherProgram: Bool
    ) async throws {
        var table = try KernelTable()
        _ = try await table.client.commit(
            .everything([clusterPolicy(transport)]),
            node: table.node
        )
        try track(table, 1001, from: "203.0.113.9", to: "10.244.1.5", transport)
        // The entry belongs to another Service, or to none.
        try table.namespace.run([
            "conntrack", "-I", "-p", "udp", "-s", "203.0.113.9", "-d", "192.0.2.1", "--sport",
            "1002", "--dport", "30054", "-r", "10.244.1.5", "-q", "203.0.113.9",
            "--reply-port-src", "5353", "--reply-port-dst", "1002", "--timeout", "600",
        ])
        // The table of another version is replaced without being read.
        table.node.facts.countsConnections = isOtherProgram
        let restarted = try KernelTable.open(table.namespace)
        let report = try await restarted.commit(.everything([]), node: table.node)
        #expect(try tracked(table) == [1002])
        #expect(report.staleEntriesRemoved == 1)
    }

    @Test(arguments: [false, true])
    func `clients forget where the policy Local, or the end of affinity, does not send them`(
        isLocal: Bool
    ) async throws {
        let table = try KernelTable()
        var before = clusterPolicy(.tcp)
        before.frontends[0].affinityTimeout = 600
        _ = try await table.client.commit(.everything([before]), node: table.node)
        for endpoint in ["10.244.1.5", "10.244.2.5"] {
            _ = try table.newerNft(
                "add",
                "element",
                "ip",
                "needletail",
                "affinity",
                "{ \(ClientBucket.of(ip(endpoint))) . 192.0.2.1 . tcp . 30053 timeout 1h : \(endpoint) . 5353 }"
            )
        }
        var after = isLocal ? localPolicy(.tcp) : clusterPolicy(.tcp)
        after.frontends[0].affinityTimeout = isLocal ? 600 : nil
        let restarted = try KernelTable.open(table.namespace)
        _ = try await restarted.commit(.everything([after]), node: table.node)
        let map = try table.nft("list", "map", "ip", "needletail", "affinity")
        #expect(map.contains("10.244.1.5 ") == isLocal && !map.contains("10.244.2.5 "), "\(map)")
    }
}
