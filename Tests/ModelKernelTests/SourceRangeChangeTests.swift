import ModelSupport
import NFTables
import NetworkTypes
import TestSupport
import Testing

/// Tables that somebody looks at after each commit.
private final class WatchedTables: TableKernel {
    private let tables: ModelTables
    var afterCommit: () -> Void = {}

    init(_ tables: ModelTables) { self.tables = tables }

    func generation() throws(TableFault) -> UInt32 { try tables.generation() }

    func contents(
        _ family: IPFamily,
        _ variant: Program.Variant
    ) throws(TableFault) -> TableContents { try tables.contents(family, variant) }

    func outline(
        _ family: IPFamily,
        _ variant: Program.Variant
    ) throws(TableFault) -> TableContents { try tables.outline(family, variant) }

    func find(
        _ keys: Set<ElementBytes>,
        in set: SetDefinition,
        _ family: IPFamily
    ) throws(TableFault) -> ElementTable { try tables.find(keys, in: set, family) }

    func commit(
        _ changes: [TableTransaction],
        at generation: UInt32
    ) throws(TableFault) -> CommitReceipt {
        let receipt = try tables.commit(changes, at: generation)
        afterCommit()
        return receipt
    }

    func news() -> RulesetNews { tables.news() }

    func wait(milliseconds: Int32) {}
}

/// kubernetes/kubernetes#119656, #88698: source ranges that are momentarily open, or shut.
@Suite struct SourceRangeChangeTests {
    private static let vip = FrontendKey(ip("198.51.100.2"), .tcp, 80)
    private static let staying = (ip("203.0.113.1"), Optional("eth0"))
    private static let going = (ip("100.64.0.1"), Optional("eth0"))
    private static let coming = (ip("100.128.0.1"), Optional("eth0"))
    private static let stranger = (ip("203.0.114.1"), Optional("eth0"))

    /// A Service that admits one client always and `count` blocks from an address on.
    private func service(from base: UInt32, length: Int, count: Int) -> ClusterBuilder {
        ClusterBuilder().with { builder in
            builder.service.type = .loadBalancer
            builder.service.loadBalancerVIPs = [Self.vip.address]
            builder.service.loadBalancerSourceRanges =
                [prefix("203.0.113.0/24")]
                + (0..<UInt32(count)).compactMap {
                    IPPrefix(IPAddress(ipv4: base + $0 << 8), length: length)
                }
            builder.add(endpoint("10.0.0.2"))
        }
    }

    // Changes of more than 10,000 elements are committed in parts.
    @Test(arguments: [(2, 24, false), (2, 28, false), (5200, 28, true)])
    func `while ranges change, who is always admitted gets in, and who never is does not`(
        count: Int,
        length: Int,
        isInParts: Bool
    ) throws {
        var watched: WatchedTables?
        var node = try ProgrammedNode { tables in
            let kernel = WatchedTables(tables)
            watched = kernel
            return kernel
        }
        try node.program([service(from: 0x6440_0000, length: 24, count: count)])
        let (admitted, refused) = (Set(["10.0.0.2:8080~"]), Set(["dropped"]))
        #expect(node.fates(from: Self.going, to: Self.vip) == admitted)
        #expect(node.fates(from: Self.coming, to: Self.vip) == refused)
        let view = node
        var commits = 0
        // The closure holds the kernel that holds it.
        defer { watched?.afterCommit = {} }
        watched?.afterCommit = {
            commits += 1
            #expect(view.fates(from: Self.staying, to: Self.vip) == admitted)
            #expect(view.fates(from: Self.stranger, to: Self.vip) == refused)
        }
        try node.program([service(from: 0x6480_0000, length: length, count: count)])
        #expect(isInParts ? commits > 2 : commits == 1)
        #expect(node.fates(from: Self.going, to: Self.vip) == refused)
        #expect(node.fates(from: Self.coming, to: Self.vip) == admitted)
    }
}
