import Glibc
import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(30))) struct RoundTripTests {
    @Test(arguments: 0..<8 as Range<UInt64>)
    func `what was written is read back, by us and by nft`(seed: UInt64) async throws {
        var random = RandomPlans(seed: seed)
        let table = try KernelTable()
        var plans = Dictionary(uniqueKeysWithValues: random.cluster(15).map { ($0.service, $0) })
        let start = try await table.client.commit(
            .everything(Array(plans.values)),
            node: table.node
        )
        #expect(start.elementsAdded > 0 && start.elementsRemoved == 0)
        try await table.check(Array(plans.values))
        for _ in 0..<10 {
            let index = Int.random(in: 0..<15, using: &random.random)
            let plan = Bool.random(using: &random.random) ? random.plan(index) : nil
            plans["test/service-\(index)"] = plan
            _ = try await table.client.commit(
                .some([("test/service-\(index)", plan)]),
                node: table.node
            )
            #expect(try await table.differences(Array(plans.values)) == 0)
        }
        try await table.check(Array(plans.values))
        _ = try await table.client.commit(.some(plans.keys.map { ($0, nil) }), node: table.node)
        try await table.check([])
    }

    @Test(arguments: 0..<6 as Range<UInt64>)
    func `a restart changes nothing, whatever the history`(seed: UInt64) async throws {
        var random = RandomPlans(seed: 100 + seed)
        let table = try KernelTable()
        var plans = Dictionary(uniqueKeysWithValues: random.cluster(10).map { ($0.service, $0) })
        _ = try await table.client.commit(.everything(Array(plans.values)), node: table.node)
        for _ in 0..<10 {
            let index = Int.random(in: 0..<10, using: &random.random)
            let plan = random.plan(index)
            plans[plan.service] = plan
            _ = try await table.client.commit(.some([(plan.service, plan)]), node: table.node)
        }
        let restarted = try KernelTable.open(table.namespace)
        let report = try await restarted.commit(.everything(Array(plans.values)), node: table.node)
        #expect(
            report.elementsAdded == 0 && report.elementsRemoved == 0 && report.objectsChanged == 0
        )
    }

    @Test(arguments: [
        LocalDetection.none, .podCIDRs, .interface("cbr0"), .interfacePrefix("veth"),
    ])
    func `what is rendered is what is programmed`(detection: LocalDetection) async throws {
        var random = RandomPlans(seed: 5)
        let plans = random.cluster(12) + IPFamily.allCases.map(Self.restricted)
        var table = try KernelTable()
        table.node.facts = NodeFacts(
            serviceCIDRs: [prefix("10.96.0.0/12"), prefix("fd96::/108"), prefix("0.0.0.0/8")],
            podCIDRs: [prefix("10.0.0.0/8"), prefix("fd00::/16")],
            localDetection: detection
        )
        if detection == .none { table.node.inherited = Set(Self.connections(443)) }
        let script = IPFamily.allCases.map { family in
            let (state, changes) = TableState.adopting(
                .unusable,
                plans,
                table.node,
                family
            )
            return RulesetPrinter(family).table(state.program, elements: changes.added)
        }.joined(separator: "\n")
        let file = "/tmp/needletail-test-\(getpid())-\(detection.fileName).nft"
        defer { unlink(file) }
        try script.write(toFile: file, atomically: false, encoding: .utf8)
        // nft creates the tables, and we read them as if we had made them: every byte of each
        // expression and of each set's user data is the same.
        _ = try table.newerNft("-f", file)
        #expect(try await table.differences(plans) == 0)
        let loaded = try table.newerNft("-s", "list", "ruleset").lines
        _ = try table.nft("flush", "ruleset")
        _ = try await table.client.commit(.everything(plans), node: table.node)
        #expect(try table.newerNft("-s", "list", "ruleset").lines == loaded)
    }

    @Test func `what is rendered for older versions loads, and is repaired at the start`()
        async throws
    {
        var random = RandomPlans(seed: 5)
        // nft 1.0.6 aborts on the rule for IPv6 affinity, for which it finds no registers.
        let plans = random.cluster(12).map { plan in
            var plan = plan
            for index in plan.frontends.indices
            where plan.frontends[index].key.address.family == .ipv6 {
                plan.frontends[index].affinityTimeout = nil
            }
            return plan
        }
        let table = try KernelTable()
        for family in IPFamily.allCases {
            let (state, changes) = TableState.adopting(
                .unusable,
                plans,
                table.node,
                family
            )
            let file = "/tmp/needletail-test-\(getpid())-portable.nft"
            defer { unlink(file) }
            try RulesetPrinter(family, isPortable: true)
                .table(state.program, elements: changes.added)
                .write(toFile: file, atomically: false, encoding: .utf8)
            try table.nft("-f", file)
        }
        let report = try await table.client.commit(.everything(plans), node: table.node)
        // Only rules differ, not the sets.
        #expect(report.elementsAdded == 0 && report.elementsRemoved == 0)
        try await table.check(plans)
    }

    // Such a name once overflowed the length of its comment.
    @Test(arguments: ["\u{1F921}", "\u{0301}", "\r\n", "\u{7F}"])
    func `names of any length and character are written and read back`(text: String) async throws {
        let table = try KernelTable()
        var plan = ServicePlan(service: "test/" + String(repeating: text, count: 71))
        plan.frontends = [
            Frontend(
                key: FrontendKey(ip("10.96.0.10"), .tcp, 80),
                kind: .clusterIP,
                portName: String(repeating: text, count: 300),
                action: .reject,
                masquerade: .nonPods
            )
        ]
        _ = try await table.client.commit(.everything([plan]), node: table.node)
        #expect(try await table.differences([plan]) == 0)
        let restarted = try KernelTable.open(table.namespace)
        #expect(try await restarted.commit(.everything([plan]), node: table.node).isEmpty)
    }

    @Test func `rules follow a change of how pods are told`() async throws {
        var table = try KernelTable()
        _ = try await table.client.commit(.everything([]), node: table.node)
        table.node.facts = NodeFacts(localDetection: .none)
        let report = try await table.client.commit(.some([]), node: table.node)
        #expect(report.objectsChanged == 4)
        try await table.check([])
    }

    /// Returns one connection of each family.
    private static func connections(_ port: UInt16) -> [InheritedConnection] {
        [("192.0.2.9", "10.96.0.10"), ("fd00:192::9", "fd96::10")].map { client, address in
            InheritedConnection(
                AddressAndPort(ip(client), port),
                FrontendKey(ip(address), .tcp, 80)
            )
        }
    }

    @Test func `what is left to IPVS comes, changes and goes, with its rules`() async throws {
        var table = try KernelTable()
        let node = table.node
        _ = try await table.client.commit(.everything([]), node: node)
        table.node.inherited = Set(Self.connections(20_000))
        _ = try await table.client.commit(.some([]), node: table.node)
        try await table.check([])
        table.node.inherited = Set(Self.connections(20_000) + Self.connections(65_535))
        let report = try await table.client.commit(.some([]), node: table.node)
        #expect(report.elementsAdded == 2 && report.objectsChanged == 0)
        try await table.check([])
        let listing = try table.nft("list", "ruleset")
        #expect(listing.contains("fd00:192::9 . 65535 . fd96::10 . 80"), "\(listing)")
        let restarted = try KernelTable.open(table.namespace)
        let again = try await restarted.commit(.everything([]), node: table.node)
        #expect(again.isEmpty)
        table.node = node
        _ = try await restarted.commit(.some([]), node: node)
        #expect(try !table.nft("list", "ruleset").contains("ipvs"))
        _ = try await table.client.commit(.everything([]), node: node)
        try await table.check([])
    }

    /// Returns a frontend that admits one block of each prefix length.
    private static func restricted(_ family: IPFamily) -> ServicePlan {
        let isIPv4 = family == .ipv4
        return ServicePlan(
            service: "test/restricted-\(family.nftName)",
            frontends: [
                Frontend(
                    key: FrontendKey(ip(isIPv4 ? "198.51.100.7" : "2001:db8::7"), .tcp, 80),
                    kind: .loadBalancerVIP,
                    portName: "",
                    action: .reject,
                    masquerade: .everyone,
                    allowedSources: (1...family.bitWidth).compactMap { length in
                        // A one after zeros, so that no block contains another.
                        let bit = family.bitWidth - length
                        let address =
                            isIPv4
                            ? IPAddress(ipv4: 1 << UInt32(bit))
                            : IPAddress(
                                ipv6High: bit >= 64 ? 1 << UInt64(bit - 64) : 0,
                                low: bit < 64 ? 1 << UInt64(bit) : 0
                            )
                        return IPPrefix(address, length: length)
                    }
                )
            ]
        )
    }

    @Test func `a set for each length of source ranges comes and goes`() async throws {
        let table = try KernelTable()
        _ = try await table.client.commit(.everything([]), node: table.node)
        let all = IPFamily.allCases.map(Self.restricted)
        let some = all.map { plan in
            var plan = plan
            plan.frontends[0].allowedSources = Array(
                plan.frontends[0].allowedSources?.suffix(3) ?? []
            )
            return plan
        }
        let open = all.map { plan in
            var plan = plan
            plan.frontends[0].allowedSources = [
                prefix(plan.frontends[0].key.address.family == .ipv4 ? "0.0.0.0/0" : "::/0")
            ]
            return plan
        }
        for (plans, count) in [(some, 3), (all, 33), (some, 3), (open, 0), (all, 33), ([], 0)] {
            let gone = plans.isEmpty ? all.map { ($0.service, ServicePlan?.none) } : []
            _ = try await table.client.commit(
                .some(plans.map { ($0.service, $0) } + gone),
                node: table.node
            )
            try await table.check(plans)
            let rules = try table.nft("list", "chain", "ip", "needletail", "source-ranges")
            #expect(rules.components(of: "@allowed-sources-") <= count + 4, "\(rules)")
        }
    }

    private func sticky(_ index: Int, _ timeout: UInt32?) -> ServicePlan {
        ServicePlan(
            service: "test/s\(index)",
            frontends: [
                Frontend(
                    key: FrontendKey(IPAddress(ipv4: 0x0A60_0000 + UInt32(index)), .tcp, 80),
                    kind: .clusterIP,
                    portName: "",
                    action: .balance(pool: 0),
                    masquerade: .nonPods,
                    affinityTimeout: timeout
                )
            ],
            pools: [Pool([Endpoint(ip("10.244.1.5"), 8080, isLocal: true)])]
        )
    }

    @Test func `affinity timeouts come, change and go, and cost one rule`() async throws {
        let table = try KernelTable()
        var plans: [ServicePlan] = []
        _ = try await table.client.commit(.everything([]), node: table.node)
        // The longest timeout that the API admits is a day.
        for timeouts in [[1, 86400], Array(100..<200), [7] + Array(150..<250), [86400, 86400]] {
            let new = timeouts.enumerated().map { sticky($0, UInt32($1)) }
            let gone = plans.dropFirst(new.count)
            _ = try await table.client.commit(
                .some(new.map { ($0.service, $0) } + gone.map { ($0.service, nil) }),
                node: table.node
            )
            plans = new
            try await table.check(plans)
            let rules = try table.nft("list", "chain", "ip", "needletail", "remember")
            #expect(rules.components(of: "@") == 1, "\(rules)")
        }
        plans = plans.enumerated().map { sticky($0.offset, nil) }
        _ = try await table.client.commit(
            .some(plans.map { ($0.service, $0) }),
            node: table.node
        )
        try await table.check(plans)
        let restarted = try KernelTable.open(table.namespace)
        #expect(try await restarted.commit(.everything(plans), node: table.node).isEmpty)
    }

    @Test func `overlapping source ranges replace each other`() async throws {
        let table = try KernelTable()
        let plan = { (ranges: [String]) in
            ServicePlan(
                service: "test/a",
                frontends: [
                    Frontend(
                        key: FrontendKey(ip("198.51.100.7"), .tcp, 80),
                        kind: .loadBalancerVIP,
                        portName: "",
                        action: .reject,
                        masquerade: .everyone,
                        allowedSources: ranges.map(prefix)
                    )
                ]
            )
        }
        _ = try await table.client.commit(.everything([]), node: table.node)
        for ranges in [
            ["203.0.113.0/25"], ["203.0.113.0/24"], ["203.0.113.0/26", "203.0.113.64/26"],
            ["203.0.113.0/24"],
        ] {
            _ = try await table.client.commit(
                .some([("test/a", plan(ranges))]),
                node: table.node
            )
            try await table.check([plan(ranges)])
        }
    }

    @Test func `thousands of Services go in and out`() async throws {
        let table = try KernelTable()
        let plans = (0..<3000).map { index in
            ServicePlan(
                service: "test/s\(index)",
                frontends: [
                    Frontend(
                        key: FrontendKey(IPAddress(ipv4: 0x0A60_0000 + UInt32(index)), .tcp, 80),
                        kind: .clusterIP,
                        portName: "",
                        action: .balance(pool: 0),
                        masquerade: .nonPods
                    )
                ],
                pools: [
                    Pool(
                        (0..<5).map {
                            Endpoint(
                                IPAddress(ipv4: 0x0A80_0000 + UInt32(index * 8 + $0)),
                                80,
                                isLocal: false
                            )
                        }
                    )
                ]
            )
        }
        let report = try await table.client.commit(.everything(plans), node: table.node)
        // Each Service has a frontend, a cluster IP, five slots and five endpoints; the rest are
        // CIDRs.
        #expect(report.elementsAdded == 3000 * 12 + 3)
        #expect(try await table.differences(plans) == 0)
        _ = try await table.client.commit(.everything([]), node: table.node)
        try await table.check([])
    }
}

extension LocalDetection {
    fileprivate var fileName: String { "\(self)".filter(\.isLetter) }
}

extension String {
    /// The lines without the characters that only separate elements.
    fileprivate var lines: [String] {
        split(separator: "\n").map { line in
            line.filter { $0 != "\t" && $0 != "," && $0 != " " && $0 != "}" }
                .replacing("elements={", with: "")
        }.filter { !$0.isEmpty }.sorted()
    }
}
