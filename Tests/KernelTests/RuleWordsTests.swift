import ModelKernel
import Netlink
import Testing

@testable import NFTablesKernel

/// Tests that rules of other programs are told as nft tells them.
@Suite(.timeLimit(.minutes(30))) struct RuleWordsTests {
    @Test(arguments: [
        "ip daddr 10.244.2.0/24 drop", "ip daddr != 10.0.0.0/8 drop",
        "ip saddr 10.1.2.128/25 accept",
        "ip saddr 10.1.2.3 accept", "ip6 daddr fd00::/16 drop", "ip6 saddr fd00:1::/64 drop",
        "ip6 saddr fd00:1::/62 drop", "ip protocol icmp drop", "ip6 nexthdr esp accept",
        "meta l4proto ipv6-icmp accept", "tcp dport 8080 drop", "udp sport 53 accept",
        "ip daddr 10.96.0.0/16 tcp dport 443 drop", "meta mark 0x00000001 accept",
        "meta mark & 0x00004000 == 0x00004000 accept", "ct mark 0x00000010 accept",
        "iifname \"eth0\" drop", "iifname != \"cali*\" drop", "oifname \"veth*\" accept",
        "ct state established,related accept", "ct state invalid drop",
        "fib daddr type local accept", "meta nfproto ipv6 drop",
    ])
    func `a rule that nft has added is told by its words`(rule: String) throws {
        let table = try KernelTable()
        try table.nft("add", "table", "inet", "other")
        try table.nft(
            "add",
            "chain",
            "inet",
            "other",
            "x",
            "{ type filter hook forward priority 0; }"
        )
        try table.nft("add", "rule", "inet", "other", "x", rule)
        // nft itself may have other words for what it was given.
        let listing = try table.nft("list", "chain", "inet", "other", "x")
        #expect(listing.contains("\t\t\(rule)\n"), "\(listing)")
        let ruleset = try table.namespace.inside {
            var socket = try NetlinkSocket(.netfilter)
            return try RulesetReader.read(&socket).ruleset
        }
        let id = Ruleset.TableID(.inet, "other")
        let read = try #require(ruleset.tables[id]?.chains["x"]?.rules.first)
        #expect(ruleset.words(of: RuleReference(id, "x", read.handle)) == rule)
    }
}
