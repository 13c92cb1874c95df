import BinarySupport
import FoundationEssentials
import TamperingSupport
import Testing

/// Tests that `explain` is true of this kernel in both modes: real connections do what it says.
@Suite(.serialized, .timeLimit(.minutes(60))) struct TamperingTests {
    private static let own: [(command: String, client: Tampering.Client, answer: Int32)] = [
        ("ipvsadm -C", .pod, 1), ("ipvsadm -D -t 192.0.2.1:30080", .outside, 1),
        ("ipvsadm -d -t 10.96.0.10:80 -r 10.244.1.2:8080", .node, 1),
        ("ipvsadm -e -t 10.96.0.10:80 -r 10.244.1.2:8080 -m -w 0", .pod, 1),
        ("ipvsadm -a -t 10.96.0.10:80 -r 10.244.1.3:9090 -m", .pod, 1),
        ("ipvsadm -E -t 10.96.0.10:80 -s wrr", .pod, 1),
        ("ipvsadm -A -t 10.96.0.99:80", .pod, 0),
        ("ip addr delete 10.96.0.10/32 dev kube-ipvs0", .pod, 1),
        ("ip link delete kube-ipvs0", .node, 1),
        ("sysctl -qw net.ipv4.vs.conntrack=0", .outside, 1),
        ("nft delete table ip needletail", .pod, 1),
        ("nft flush chain ip needletail masquerading", .outside, 1),
        ("nft flush chain ip needletail snat-postrouting", .outside, 1),
        ("true", .pod, 0), ("true", .node, 0), ("true", .outside, 0),
    ]

    @Test(arguments: own.indices)
    func `what is done to virtual servers is seen`(index: Int) async throws {
        let (command, client, answer) = Self.own[index]
        let words = command.split(separator: " ").map(String.init)
        try await check(Tampering(command: words, client: client, answer: .agrees), "ipvs", answer)
    }

    /// All of them take long on an emulated machine.
    private static func some(_ all: [Tampering], every step: Int) -> [Tampering] {
        ProcessInfo.processInfo.environment["NEEDLETAIL_ALL_TAMPERINGS"] != nil
            ? all : all.enumerated().filter { $0.offset % step == 0 }.map(\.element)
    }

    @Test(arguments: some(Tampering.foreign, every: 12))
    func `rules of other programs are seen in mode ipvs`(tampering: Tampering) async throws {
        try await check(tampering, "ipvs", nil)
    }

    @Test(arguments: some(Tampering.all, every: 20))
    func `what is done to tables is seen in mode nftables`(tampering: Tampering) async throws {
        try await check(tampering, "nftables", tampering.answer.status)
    }

    private func check(
        _ tampering: Tampering,
        _ mode: String,
        _ status: Int32?
    ) async throws {
        let node = try TamperedNode(mode: mode)
        try node.suffer(tampering)
        let answer = try node.explain(tampering.client)
        if let status { #expect(answer.status == status, "\(answer.text)") }
        let fate = try await node.connect(tampering.client)
        #expect(
            answer.outcomes.contains { fate.matches($0) },
            "\(fate) is not among \(answer.text)"
        )
        if fate != TamperedNode.wanted(tampering.client) {
            #expect(answer.status != 0, "\(fate), but \(answer.text)")
        }
    }
}
