/// What is done to tables as a whole, by marks, chance and counts, and at hooks that few programs use.
extension Tampering {
    static let otherKinds =
        tables + marks + chance + policies + counters + links + devices + legacies

    private static let tables = [
        ("add table ip needletail { flags dormant; }", Client.pod),
        ("add table ip needletail { flags dormant; }", .outside),
        ("add chain ip needletail filter-forward { policy drop; }", .pod),
        ("add chain ip needletail filter-forward { policy drop; }", .outside),
        ("add chain ip needletail snat-postrouting { policy drop; }", .pod),
        ("add chain ip needletail pre-dnat-output { policy drop; }", .node),
        ("delete element ip needletail service-endpoints { 10.244.1.2 . tcp . 8080 }", .pod),
        ("delete element ip needletail frontends { 192.0.2.1 . tcp . 30080 }", .outside),
        (
            "delete element ip needletail masquerade-frontends { 192.0.2.1 . tcp . 30080 }",
            .outside
        ),
        ("flush map ip needletail endpoints", .node),
        ("flush map ip needletail endpoints", .outside),
        ("add element ip needletail sticky { 10.96.0.10 . tcp . 80 }", .pod),
        ("add element ip needletail no-local-endpoints { 10.96.0.10 . tcp . 80 }", .node),
    ].map { Tampering(script: $0, client: $1, answer: .differs) }

    private static let marking = foreign("tcp dport 80 meta mark set 7", at: "prerouting", -150)

    private static let marks =
        [
            Tampering(
                script: marking
                    + "; add chain ip foreign y { type filter hook forward priority 10; }"
                    + "; add rule ip foreign y meta mark 7 drop",
                answer: .differs
            ),
            Tampering(
                script: marking,
                command: ["ip", "rule", "add", "fwmark", "7", "prohibit"],
                answer: .differs
            ),
            Tampering(script: marking, answer: .agrees),
            Tampering(
                script: foreign(
                    "tcp dport 80 meta mark set 7",
                    at: "output",
                    -150,
                    type: "route"
                ),
                command: ["ip", "rule", "add", "fwmark", "7", "prohibit"],
                client: .node,
                answer: .differs
            ),
            Tampering(script: foreign("ct mark 0 drop", at: "forward", 10), answer: .differs),
            Tampering(
                script: foreign("ct mark set 7", at: "forward", 10)
                    + "; add rule ip foreign x ct mark != 7 drop",
                answer: .agrees
            ),
        ]

    private static let chance =
        [
            (foreign("numgen random mod 2 0 drop", at: "forward", 10), Client.pod, Answer.differs),
            (foreign("quota over 10 bytes drop", at: "forward", 10), .pod, .cannotTell),
            (foreign("ct count over 0 drop", at: "forward", 10), .outside, .cannotTell),
            (foreign("ip ttl lt 200 drop", at: "forward", 10), .pod, .cannotTell),
            (foreign("meta skuid 0 drop", at: "output", 5), .node, .cannotTell),
            (
                foreign("fib saddr . iif oif missing drop", at: "prerouting", -150), .pod,
                .cannotTell
            ),
            (
                foreign("tcp dport 30080 redirect to :22", at: "prerouting", -102, type: "nat"),
                .outside, .cannotTell
            ),
        ].map { Tampering(script: $0, client: $1, answer: $2) }

    private static let policies = [
        (foreign("", at: "prerouting", -150, policy: "drop"), Client.outside, Answer.differs),
        (foreign("", at: "input", 10, policy: "drop"), .node, .differs),
        (foreign("", at: "input", 10, policy: "drop"), .outside, .agrees),
        (foreign("", at: "postrouting", 300, family: "inet", policy: "drop"), .pod, .differs),
        (foreign("", at: "postrouting", 300, family: "ip6", policy: "drop"), .pod, .agrees),
        (foreign("tcp dport 30080 notrack", at: "prerouting", -300), .outside, .differs),
        (
            foreign("ct status dnat jump z", at: "forward", 10).replacing(
                "; add rule",
                with:
                    "; add chain ip foreign z; add rule ip foreign z tcp dport 8080 drop; add rule"
            ), .pod, .differs
        ),
        (foreign("tcp option maxseg size set 1360", at: "forward", -150), .pod, .agrees),
    ].map { Tampering(script: $0, client: $1, answer: $2) }

    private static let counters: [Tampering] = [
        ("prerouting", Client.pod), ("forward", .outside), ("postrouting", .outside),
        ("output", .node),
        ("input", .node),
    ].flatMap { hook, client in
        [-300, -101, 0, 101].map { priority in
            Tampering(
                script: foreign("tcp dport { 80, 8080, 30080 } counter", at: hook, priority),
                client: client,
                answer: .agrees
            )
        }
    }

    private static let links = [
        ("ip link set p2 down", Client.outside, Answer.cannotTell),
        ("ip link set p2 down", .node, .cannotTell),
        ("ip route add unreachable 10.96.0.10", .node, .differs),
        ("ip route add unreachable 10.96.0.10", .pod, .agrees),
    ].map {
        Tampering(
            command: $0.split(separator: " ").map(String.init),
            client: $1,
            answer: $2
        )
    }

    private static let devices = [
        "netdev foreign x { type filter hook egress device eth0 priority 0; }; add rule netdev foreign x"
            + " tcp sport 30080 drop",
        "inet foreign x { type filter hook ingress device eth0 priority 0; }; add rule inet foreign x"
            + " tcp dport 30080 drop",
        "bridge foreign x { type filter hook output priority 0; }; add rule bridge foreign x drop",
    ].map { chain in
        let family = chain.prefix { $0 != " " }
        return Tampering(
            script: "add table \(family) foreign; add chain \(chain)",
            client: .outside,
            answer: .cannotTell
        )
    }

    private static let legacies = [
        ("-t raw -A PREROUTING -p tcp --dport 80 -j CT --notrack", Answer.cannotTell),
        ("-A FORWARD -m conntrack --ctstate INVALID -j DROP", .cannotTell),
        ("-A FORWARD -p tcp -m multiport --dports 8080 -j DROP", .cannotTell),
        (
            "-t nat -I PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.244.1.3:9090",
            .agrees
        ),
        ("-P FORWARD DROP", .differs),
    ].map { Tampering(command: iptables($0), answer: $1) }
}
