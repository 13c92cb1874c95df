import NetworkTypes
import TestSupport
import Testing

@Suite struct NodePortAddressesTests {
    @Test(
        arguments: [
            (["primary"], true, [], []), (["all"], false, ["0.0.0.0/0", "::/0"], []),
            (["primary", "localhost"], true, [], [.ipv4, .ipv6]),
            (["primary", "10.0.0.0/8"], true, ["10.0.0.0/8"], []),
            (["127.0.0.0/8"], false, ["127.0.0.0/8"], [.ipv4]),
            (["10.0.0.0/8", "::1/128"], false, ["10.0.0.0/8", "::1/128"], [.ipv6]),
            // The forwarder listens on 127.0.0.1, which none of these blocks requests by itself.
            (["127.0.0.2/32"], false, ["127.0.0.2/32"], []),
            (["0.0.0.0/0"], false, ["0.0.0.0/0"], []),
            (["all", "localhost"], false, ["0.0.0.0/0", "::/0"], [.ipv4, .ipv6]),
            ([], false, [], []),
        ] as [([String], Bool, [String], Set<IPFamily>)]
    )
    func `keywords and blocks are mixed`(
        words: [String],
        primary: Bool,
        blocks: [String],
        localhost: Set<IPFamily>
    ) {
        let addresses = NodePortAddresses(words)
        #expect(addresses.includesPrimary == primary)
        #expect(addresses.blocks == blocks.map(prefix))
        #expect(addresses.localhost == localhost)
        #expect(NodePortAddresses.problems(in: words).isEmpty)
    }

    @Test(arguments: ["Localhost", "loopback", "10.0.0.1", "", "primary,localhost", "0"])
    func `what is neither is told, with the words that there are`(word: String) {
        #expect(
            NodePortAddresses.problems(in: ["primary", word, "10.0.0.0/8"]) == [
                "\"\(word)\" is neither a CIDR block nor one of the words primary, localhost, all"
            ]
        )
    }
}
