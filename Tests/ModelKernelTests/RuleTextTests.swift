import ModelKernel
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// How `explain` shows rules: by nft's words.
@Suite struct RuleTextTests {
    private func texts(_ detection: LocalDetection) throws -> [String] {
        let node = try ProgrammedNode(detection)
        return node.kernel.withKernel(\.ruleset).tables.flatMap { id, table in
            table.chains.flatMap { name, chain in
                chain.rules.map { (RuleReference(id, name, $0.handle), chain) }
            }
        }
        .map { node.kernel.withKernel(\.ruleset).text($0.0) }
    }

    @Test(arguments: [
        LocalDetection.podCIDRs, .interface("cni0"), .interfacePrefix("cali"), .none,
    ])
    func `every rule of ours is told without numbers`(detection: LocalDetection) throws {
        let texts = try texts(detection)
        #expect(texts.count > 40)
        for text in texts {
            let words = text.split(separator: ": ", maxSplits: 1).last ?? ""
            #expect(!words.contains("0x") && !words.contains("?"), "\(text)")
            #expect(!words.contains(/ct \d|meta \d/), "\(text)")
        }
    }

    @Test(arguments: [
        "ct state invalid", "ct state new", "ct status dnat", "ct original ip daddr @cluster-ips",
        "ip saddr != @pod-cidrs", "fib saddr type", "ip6 daddr @frontends jump services",
    ])
    func `words are nft's`(words: String) throws {
        let texts = try texts(.podCIDRs)
        #expect(texts.contains { $0.contains(words) }, "\(texts)")
    }
}
