import Backend
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import Netlink
import Testing

/// Tests with other programs' chains at the forward hook: policies and last rules that drop.
@Suite(.timeLimit(.minutes(30))) struct ForwardChainTests {
    private func chains(_ table: KernelTable, _ rules: String) async throws -> [ForwardChain] {
        try table.namespace.run(["nft", "-f", "-"], input: rules)
        return try await table.client.forwardChains()
    }

    @Test func `a policy is read, with what the rules lead to`() async throws {
        let table = try KernelTable()
        _ = try await table.client.commit(.everything([]), node: table.node)
        #expect(try await table.client.forwardChains().isEmpty, "our own are none of them")
        let found = try await chains(
            table,
            """
            table ip filter {
                chain DOCKER-USER { }
                chain DOCKER-FORWARD { }
                chain FORWARD {
                    type filter hook forward priority 0; policy drop;
                    counter jump DOCKER-USER
                    iifname "docker0" jump DOCKER-FORWARD
                    counter jump DOCKER-USER
                }
                chain INPUT { type filter hook input priority 0; policy drop; }
            }
            table bridge other { chain f { type filter hook forward priority 0; policy drop; }; }
            table inet open { chain f { type filter hook forward priority 5; policy accept; }; }

            """
        )
        #expect(found.count == 2)
        let docker = try #require(found.first { $0.place.table == "filter" })
        #expect(docker.place.chain == "FORWARD" && docker.place.familyName == "ip")
        #expect(docker.ending == .droppedByPolicy && docker.ruleCount == 3)
        #expect(docker.targets == ["DOCKER-USER", "DOCKER-FORWARD"])
        let open = try #require(found.first { $0.place.table == "open" })
        #expect(open.ending == .accepted && open.place.families == [.ipv4, .ipv6])
    }

    @Test(
        arguments: [
            ("policy drop; counter accept", .accepted, 0),
            ("policy drop; drop; accept", .refusedByRule("drop"), 0),
            ("policy accept; ip daddr 10.0.0.0/8 drop", .accepted, 1),
            ("policy accept; iifname \"a\" accept; counter reject", .refusedByRule("reject"), 1),
            ("policy drop; log prefix \"x\"", .droppedByPolicy, 1),
        ] as [(String, ForwardChain.Ending, Int)]
    )
    func `the first rule without a condition decides`(
        rules: String,
        ending: ForwardChain.Ending,
        count: Int
    ) async throws {
        let table = try KernelTable()
        let lines = rules.replacing("; ", with: "\n")
            .replacing("policy drop", with: "policy drop;").replacing(
                "policy accept",
                with: "policy accept;"
            )
        let found = try await chains(
            table,
            "table inet t { chain c { type filter hook forward priority 0; \(lines)\n }; }\n"
        )
        #expect(found.map(\.ending) == [ending] && found.map(\.ruleCount) == [count])
    }

    /// The rules are those that firewalld 2 writes.
    @Test func `a rule for translated connections is seen`() async throws {
        let table = try KernelTable()
        let found = try await chains(
            table,
            """
            table inet firewalld {
                chain filter_FORWARD_POLICIES { }
                chain filter_FORWARD {
                    type filter hook forward priority 10; policy accept;
                    ct state { established, related } accept
                    ct status dnat accept
                    jump filter_FORWARD_POLICIES
                    ct state invalid drop
                    reject with icmpx admin-prohibited
                }
            }
            table ip masked { chain f { type filter hook forward priority 0; policy drop; ct status snat accept; }; }

            """
        )
        let firewalld = try #require(found.first { $0.place.table == "firewalld" })
        #expect(firewalld.ending == .refusedByRule("reject") && firewalld.acceptsServices)
        #expect(found.first { $0.place.table == "masked" }?.acceptsServices == false)
    }

    @Test func `iptables-nft is read and followed`() async throws {
        let table = try KernelTable()
        var changes = await table.client.events().filter { $0 == .forwarding }
            .makeAsyncIterator()
        func iptables(_ words: String) throws {
            try table.namespace.run(["iptables-nft"] + words.split(separator: " ").map(String.init))
        }
        try iptables("-P FORWARD DROP")
        _ = await changes.next()
        var found = try await table.client.forwardChains()
        #expect(found.map(\.ending) == [.droppedByPolicy])
        // A new rule in a chain that is already known is noticed as well.
        try iptables("-P FORWARD ACCEPT")
        _ = await changes.next()
        found = try await table.client.forwardChains()
        #expect(found.map(\.ending) == [.accepted])
        try iptables("-A FORWARD -j REJECT")
        _ = await changes.next()
        found = try await table.client.forwardChains()
        #expect(found.map(\.ending) == [.refusedByRule("reject")])
    }

    @Test(arguments: [(IPFamily.ipv4, "iptables-legacy"), (.ipv6, "ip6tables-legacy")])
    func `iptables-legacy is read`(family: IPFamily, command: String) throws {
        let namespace = try NetworkNamespace()
        func chain() throws -> XTable.HookChain? {
            try namespace.inside { try XTables(family).forwardChain() }
        }
        #expect(try chain() == nil)
        try namespace.run(
            [command + "-restore"],
            input: """
                *filter
                :FORWARD DROP [0:0]
                :FLANNEL-FWD - [0:0]
                -A FORWARD -j FLANNEL-FWD
                -A FORWARD -p tcp -j ACCEPT
                COMMIT

                """
        )
        let found = try #require(try chain())
        #expect(found.drops && found.ruleCount == 2 && found.targets == ["FLANNEL-FWD"])
        try namespace.run([command, "-P", "FORWARD", "ACCEPT"])
        #expect(try chain()?.drops == false)
    }
}
