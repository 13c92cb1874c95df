import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import Netlink
import ServicePlan
import TestSupport
import Testing

/// Tests of tables that another version has left, older or newer.
@Suite(.timeLimit(.minutes(30))) struct LayoutVersionTests {
    /// What makes a table of this version one of another, as words of nft's listing and what stands for them.
    private static let versions: [[(String, String)]] = [
        // A chain and a set had other names.
        [("service-", "older-"), ("no-service", "no-older")], [("frontends", "fronts")],
        // A set was smaller, or a chain dropped what no rule accepts.
        [("size 1048576", "size 65536")], [("policy accept", "policy drop")],
        // There is more than this version knows.
        [
            (
                "chain pick {",
                "set from-the-future { type ipv4_addr . mark; }\n chain from-the-future { }\n chain pick {"
            )
        ],
    ]

    private func generation(_ namespace: NetworkNamespace) throws -> UInt32 {
        try namespace.inside {
            var socket = try NetlinkSocket(.netfilter)
            return try RulesetListener.generation(&socket)
        }
    }

    @Test(arguments: versions.indices)
    func `a table of another version is replaced in one transaction`(version: Int) async throws {
        var random = RandomPlans(seed: 42)
        let plans = random.cluster(8)
        let table = try KernelTable()
        _ = try await table.client.commit(.everything(plans), node: table.node)
        let listing = try table.newerNft("-s", "list", "ruleset")
        let other = Self.versions[version].reduce(listing) { text, change in
            text.replacing(change.0, with: change.1)
        }
        #expect(other != listing)
        try table.nft("flush", "ruleset")
        try table.namespace.run([KernelTable.newerNft.get(), "-f", "-"], input: other)
        let restarted = try KernelTable.open(table.namespace)
        let before = try generation(table.namespace)
        let report = try await restarted.commit(.everything(plans), node: table.node)
        // One transaction raises the generation by one: no moment lies between the old table and the new.
        #expect(try generation(table.namespace) == before + 1)
        #expect(report.objectsChanged > 0)
        try await table.check(plans)
        let again = try await restarted.commit(.everything(plans), node: table.node)
        #expect(again.objectsChanged == 0 && again.elementsAdded == 0)
    }
}
