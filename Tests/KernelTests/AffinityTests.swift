import Glibc
import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(30))) struct AffinityTests {
    private let frontends = [
        FrontendKey(ip("10.96.0.10"), .udp, 53), FrontendKey(ip("fd96::10"), .udp, 53),
    ]

    private func plan(_ endpoints: [String]) -> ServicePlan {
        ServicePlan(
            service: "test/dns",
            frontends: frontends.enumerated().map { index, key in
                Frontend(
                    key: key,
                    kind: .clusterIP,
                    portName: "",
                    action: .balance(pool: index),
                    masquerade: .nonPods,
                    affinityTimeout: 600
                )
            },
            pools: IPFamily.allCases.map { family in
                Pool(
                    endpoints.map(ip).filter { $0.family == family }.sorted().map {
                        Endpoint($0, 5353, isLocal: false)
                    }
                )
            }
        )
    }

    private let clients =
        (1...20).map { ip("10.1.0.\($0)") } + (1...20).map { ip("fd00:1:2::\($0)") }

    /// Sends a datagram from the address of each client.
    private func send(_ table: KernelTable) throws {
        for client in clients {
            try table.namespace.inside {
                let family = client.family == .ipv4 ? AF_INET : AF_INET6
                let descriptor = socket(
                    family,
                    Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue),
                    0
                )
                defer { close(descriptor) }
                let frontend = frontends[client.family == .ipv4 ? 0 : 1]
                let isBound = withAddress(client, 0) { bind(descriptor, $0, $1) }
                try #require(isBound == 0)
                let isOpen = withAddress(frontend.address, 53) { connect(descriptor, $0, $1) }
                try #require(isOpen == 0)
                Glibc.send(descriptor, "x", 1, 0)
            }
        }
    }

    private func start() async throws -> KernelTable {
        let table = try KernelTable()
        try table.namespace.ip(
            clients.map { "addr add \($0)/\($0.family == .ipv4 ? 32 : 128) dev lo" } + [
                "route add default dev lo", "route add ::/0 dev lo",
            ]
        )
        let all = plan(["10.244.1.5", "10.244.2.5", "fd00:244::5", "fd00:244::6"])
        _ = try await table.client.commit(.everything([all]), node: table.node)
        try send(table)
        return table
    }

    @Test func `a client is found in the bucket that the kernel has put it in`() async throws {
        let table = try await start()
        for client in clients {
            let frontend = frontends[client.family == .ipv4 ? 0 : 1]
            let found = try await table.client.rememberedEndpoint(of: client, at: frontend)
            #expect(found?.port == 5353, "\(client)")
        }
        // These clients must not share a bucket with one of the others.
        for stranger in [ip("10.9.9.9"), ip("fd00:9::9")] {
            let bucket = ClientBucket.of(stranger)
            try #require(
                !clients.contains { $0.family == stranger.family && ClientBucket.of($0) == bucket }
            )
            let frontend = frontends[stranger.family == .ipv4 ? 0 : 1]
            #expect(try await table.client.rememberedEndpoint(of: stranger, at: frontend) == nil)
        }
        let counts = await table.client.elementCounts().filter { $0.set == "affinity" }
        for found in counts {
            let clients = clients.filter { $0.family == found.family }
            #expect(found.count == Set(clients.map(ClientBucket.of)).count)
        }
    }

    @Test func `clients stay where they were sent, and forget who goes`() async throws {
        let table = try await start()
        let before = try await endpoints(table)
        try send(table)
        #expect(try await endpoints(table) == before)
        let rest = plan(["10.244.2.5", "fd00:244::6"])
        _ = try await table.client.commit(.some([("test/dns", rest)]), node: table.node)
        let after = try await endpoints(table)
        for (client, endpoint) in before {
            let isGone = [ip("10.244.1.5"), ip("fd00:244::5")].contains(endpoint)
            #expect(after[client] == (isGone ? nil : endpoint))
        }
    }

    @Test func `a flood of another Service's clients keeps nothing from being forgotten`()
        async throws
    {
        let table = try await start()
        // There are more elements than one frontend can have, so its keys are looked up one by one.
        let flood = (0..<16_384).flatMap { bucket in
            ["1", "2"].map { "\(bucket) . 10.96.0.2\($0) . tcp . 80 timeout 1h : 10.244.9.9 . 80" }
        }
        let file = "/tmp/needletail-test-\(getpid())-flood.nft"
        defer { unlink(file) }
        try "add element ip needletail affinity { \(flood.joined(separator: ", ")) }\n"
            .write(toFile: file, atomically: false, encoding: .utf8)
        _ = try table.newerNft("-f", file)
        let all = plan(["10.244.1.5", "10.244.2.5", "fd00:244::5", "fd00:244::6"])
        _ = try await table.client.commit(.everything([all]), node: table.node)
        let before = try await endpoints(table)
        #expect(before.count == clients.count)
        let rest = plan(["10.244.2.5", "fd00:244::5", "fd00:244::6"])
        _ = try await table.client.commit(.some([("test/dns", rest)]), node: table.node)
        let gone = ip("10.244.1.5")
        #expect(try await endpoints(table) == before.filter { $0.value != gone })
        let left = try #require(
            await table.client.elementCounts()
                .first { $0.set == "affinity" && $0.family == .ipv4 }
        )
        #expect(left.count >= flood.count)
    }

    private func endpoints(_ table: KernelTable) async throws -> [IPAddress: IPAddress] {
        var endpoints: [IPAddress: IPAddress] = [:]
        for client in clients {
            let frontend = frontends[client.family == .ipv4 ? 0 : 1]
            let found = try await table.client.rememberedEndpoint(of: client, at: frontend)
            endpoints[client] = found?.address
        }
        return endpoints
    }

    @Test func `without a hash nobody is remembered, and all else is there`() {
        var facts = TableInputs()
        facts.remembersClients = false
        let all = plan(["10.244.1.5", "fd00:244::5"])
        for family in IPFamily.allCases {
            let (state, changes) = TableState.adopting(
                .unusable,
                [all],
                facts,
                family
            )
            let text = RulesetPrinter(family).table(state.program, elements: changes.added)
            #expect(!text.contains("jhash") && text.contains("goto pick"))
        }
    }

    @Test func `a map that fills is told of once`() {
        var fill = AffinityFill()
        let limit = AffinityFill.limit
        #expect(limit == 1_048_576)
        let looks: [(count: Int, IPFamily)] = [
            (limit / 2, .ipv4), (limit - 1000, .ipv4), (limit, .ipv4), (limit, .ipv6),
            (100, .ipv4), (limit, .ipv4),
        ]
        let warnings = looks.map { fill.isWorthAWarning($0.count, $0.1) }
        #expect(warnings == [false, true, false, true, false, true])
    }
}
