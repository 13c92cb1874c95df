import Backend
import Logging
import NFTables
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// The tables of a real kernel, in a network namespace of the test.
struct KernelTable {
    let namespace: NetworkNamespace
    let client: TableClient
    var node = TableInputs(
        NodeFacts(
            serviceCIDRs: [prefix("10.96.0.0/12")],
            podCIDRs: [prefix("10.0.0.0/8"), prefix("fd00::/16")],
            localDetection: .podCIDRs
        )
    )

    init() throws {
        namespace = try NetworkNamespace()
        client = try Self.open(namespace)
        try namespace.ip(["link set lo up"])
    }

    /// Opens a second dataplane, which the kernel takes for another process.
    static func open(_ namespace: NetworkNamespace) throws -> TableClient {
        try namespace.inside {
            var logger = Logger(label: "test")
            logger.logLevel = .error
            return TableClient(
                try TableProgrammer(families: [.ipv4, .ipv6], logger: logger)
            )
        }
    }

    /// Runs Debian's nft, the oracle, which other programs on a node use.
    @discardableResult
    func nft(_ arguments: String...) throws -> String {
        try namespace.run(["nft"] + arguments)
    }

    /// Runs a newer nft, which can parse everything that is rendered.
    func newerNft(_ arguments: String...) throws -> String {
        try namespace.run([Self.newerNft.get()] + arguments)
    }

    static let newerNft = Result {
        try Command.run([
            "\(Fixture.root)/../scripts/newer-nft", "\(Fixture.root)/../.cache/newer-nft",
        ])
        .split(separator: "\n").last.map(String.init) ?? ""
    }

    /// Returns the number of lines that `needletail diff` would print.
    func differences(_ plans: [ServicePlan]) async throws -> Int {
        try await client.difference(plans, node: node).count
    }

    /// Checks that the tables match the plans, by our own reading and by nft's.
    func check(_ plans: [ServicePlan]) async throws {
        #expect(try await differences(plans) == 0)
        let listing = try nft("list", "ruleset")
        let frontends = plans.flatMap(\.frontends)
        for frontend in frontends.prefix(20) {
            let text =
                "\(frontend.key.address) . \(frontend.key.transport) . \(frontend.key.port) comment"
            #expect(listing.contains(text), "\(text)")
        }
        #expect(listing.components(of: "comment \"test/") == frontends.count)
        try nft("-j", "list", "ruleset")
    }
}

extension String {
    func components(of text: String) -> Int {
        split(separator: text, omittingEmptySubsequences: false).count - 1
    }
}
