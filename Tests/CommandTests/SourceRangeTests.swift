import BinarySupport
import NetworkNamespaces
import TestSupport
import Testing

/// Real connections of clients whom a Service's annotations refuse.
@Suite(.timeLimit(.minutes(30))) struct SourceRangeTests {
    private static let refusals = [
        "needletail.io/deny-source-ranges: \"203.0.113.0/24, \(Node.clientAddress)\"",
        "needletail.io/source-ranges: 10.244.0.0/16",
        "needletail.io/source-ranges: nonsense",
        "needletail.io/source-ranges: 0.0.0.0/0, needletail.io/deny-source-ranges: 192.0.2.8/31",
    ]

    // tcp_loose: whether conntrack takes a packet from the middle of a connection for a new one, or
    // for INVALID.
    @Test(arguments: refusals.indices, [true, false])
    func `who is refused loses his connections, and others keep theirs`(
        refusal: Int,
        isLoose: Bool
    ) throws {
        let node = try Node()
        try node.namespace.setSysctl("net/netfilter/nf_conntrack_tcp_loose", isLoose ? "1" : "0")
        func program() throws { #expect(try node.once("nftables").status == 0) }
        let scene = try RefusedClient(node, program: program)
        #expect(try scene.tracked(Node.clientAddress) == RefusedClient.places.map(\.host).sorted())
        #expect(try scene.tracked("10.244.1.3") == [Node.address])
        try RefusedClient.write(node, annotations: Self.refusals[refusal])
        try program()
        #expect(try scene.tracked(Node.clientAddress) == [])
        let refusesEveryone = refusal == 2
        #expect(try scene.tracked("10.244.1.3") == (refusesEveryone ? [] : [Node.address]))
        #expect(try scene.sendsInVain())
        #expect(!scene.hasReceived)
        if !refusesEveryone { #expect(scene.otherGoesOn) }
        #expect(try scene.connects(node.client) == [false, false, false])
        #expect(try scene.connects(node.pod(1)) == Array(repeating: !refusesEveryone, count: 3))
        // Cluster IPs are not for clients from outside.
        #expect(try scene.connects(node.client, to: [("10.96.0.10", 80)]) == [true])
        // Allowed again, the client connects again.
        try RefusedClient.write(node, annotations: "")
        try program()
        #expect(try scene.connects(node.client) == [true, true, true])
    }
}
