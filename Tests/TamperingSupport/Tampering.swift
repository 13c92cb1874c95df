/// Something that is done to the kernel behind needletail's back.
package struct Tampering: Sendable, CustomStringConvertible {
    package enum Client: String, Sendable {
        /// To the cluster IP.
        case pod, node
        /// To the NodePort.
        case outside
    }

    package enum Answer: Sendable {
        case agrees, differs, cannotTell

        package var status: Int32 {
            switch self {
            case .agrees: 0
            case .differs: 1
            case .cannotTell: 3
            }
        }
    }

    /// What `nft -f -` gets.
    package var script = ""
    /// A rule of ours that is deleted: its chain, and which one it is.
    package var deleted: (chain: String, index: Int)?
    /// Another program's command.
    package var command: [String] = []
    package var client = Client.pod
    package var answer: Answer

    package var description: String {
        let rule = deleted.map { "rule \($0.index) of \($0.chain) is deleted" }
        return "\(client.rawValue): \(rule ?? "\(script)\(command.joined(separator: " "))")"
    }

    /// In mode nftables, with what is to be answered there.
    package static let all: [Tampering] =
        [flushes, deletions, insertions, elements, foreign].flatMap { $0 }

    /// By rules and routes of other programs.
    package static let foreign: [Tampering] =
        [drops, translations, routes, harmless, doubtful, otherKinds].flatMap { $0 }

    package init(
        script: String = "",
        deleted: (chain: String, index: Int)? = nil,
        command: [String] = [],
        client: Client = .pod,
        answer: Answer
    ) {
        (self.script, self.deleted, self.command) = (script, deleted, command)
        (self.client, self.answer) = (client, answer)
    }

    // MARK: Our own tables

    private static let flushes =
        [
            "pre-dnat-prerouting", "dnat-prerouting", "services", "pick", "filter-forward",
            "filter-input", "filter-output", "no-service", "remember", "snat-postrouting",
            "masquerading", "source-ranges", "invalid", "pre-dnat-output", "dnat-output",
        ].map { Tampering(script: "flush chain ip needletail \($0)", answer: .differs) }
        + [
            ("dnat-output", Client.node), ("masquerading", .node), ("snat-postrouting", .node),
            ("dnat-prerouting", .outside), ("masquerading", .outside), ("pick", .outside),
        ].map {
            Tampering(script: "flush chain ip needletail \($0)", client: $1, answer: .differs)
        } + [Tampering(script: "delete table ip needletail", answer: .differs)]

    private static let deletions = [
        Tampering(deleted: ("services", 2), answer: .differs),
        Tampering(deleted: ("pick", 0), answer: .differs),
        Tampering(deleted: ("dnat-prerouting", 0), client: .outside, answer: .differs),
        Tampering(deleted: ("filter-forward", 0), answer: .differs),
        Tampering(deleted: ("masquerading", 1), client: .outside, answer: .differs),
        Tampering(deleted: ("masquerading", 2), client: .node, answer: .differs),
    ]

    private static let insertions =
        [
            "services return", "pick meta l4proto tcp dnat to 10.244.1.3:9090",
            "filter-forward drop",
            "filter-forward reject",
            "snat-postrouting masquerade", "pre-dnat-prerouting tcp dport 80 drop",
            "dnat-prerouting tcp dport 80 dnat to 10.244.1.3:9090", "dnat-prerouting accept",
        ].map { Tampering(script: "insert rule ip needletail \($0)", answer: .differs) }
        + [
            // A reset for what a bridge forwards keeps the endpoint's address.
            Tampering(
                script: "insert rule ip needletail filter-forward meta l4proto tcp reject with tcp"
                    + " reset",
                client: .outside,
                answer: .differs
            )
        ]

    private static let slot = "10.96.0.10 . tcp . 80 . 65536"

    private static let elements = [
        ("delete element ip needletail frontends { 10.96.0.10 . tcp . 80 }", Client.pod),
        ("delete element ip needletail endpoints { \(slot) }", .pod),
        (
            "flush map ip needletail endpoints; add element ip needletail endpoints"
                + " { \(slot) : 10.244.1.3 . 9090 }", .pod
        ),
        ("delete element ip needletail cluster-ips { 10.96.0.10 }", .node),
        ("flush set ip needletail hairpin", .pod), ("flush set ip needletail pod-cidrs", .pod),
        ("flush set ip needletail masquerade-frontends", .outside),
        ("add element ip needletail no-endpoints { 10.96.0.10 . tcp . 80 }", .node),
        ("add element ip needletail masquerade-frontends { 10.96.0.10 . tcp . 80 }", .pod),
        ("add element ip needletail restricted { 10.96.0.10 . tcp . 80 }", .pod),
        ("add element ip needletail local-policy { 192.0.2.1 . tcp . 30080 }", .outside),
    ].map { Tampering(script: $0, client: $1, answer: .differs) }

    // MARK: Other programs' tables

    /// A table with one chain and one rule.
    static func foreign(
        _ rule: String,
        at hook: String,
        _ priority: Int,
        family: String = "ip",
        type: String = "filter",
        policy: String = "accept"
    ) -> String {
        let end = rule.isEmpty ? "" : "; add rule \(family) foreign x \(rule)"
        return "add table \(family) foreign; add chain \(family) foreign x { type \(type) hook"
            + " \(hook) priority \(priority); policy \(policy); }\(end)"
    }

    private static let drops = [
        (foreign("tcp dport 80 drop", at: "prerouting", -300), Client.pod),
        (foreign("tcp dport 80 drop", at: "prerouting", -150, family: "inet"), .pod),
        (foreign("tcp dport 80 drop", at: "prerouting", -105), .pod),
        (foreign("tcp dport 30080 drop", at: "prerouting", -105, family: "inet"), .outside),
        (foreign("tcp dport { 79-80, 443 } drop", at: "prerouting", -150), .pod),
        (foreign("tcp dport 8080 drop", at: "prerouting", -50), .pod),
        (foreign("tcp dport 8080 drop", at: "forward", -1, family: "inet"), .pod),
        (foreign("tcp dport 8080 drop", at: "forward", 0), .outside),
        (foreign("tcp dport 8080 reject", at: "forward", 10), .pod),
        (
            foreign("ct status dnat reject with tcp reset", at: "forward", 10, family: "inet"),
            .outside
        ),
        (foreign("ip daddr . tcp dport { 10.244.1.2 . 8080 } drop", at: "forward", 5), .pod),
        (foreign("ip daddr { 10.244.1.0/25 } tcp dport 8000-9000 drop", at: "forward", 5), .pod),
        (foreign("ip saddr vmap { 10.244.1.3 : drop }", at: "forward", 5), .pod),
        (foreign("ip daddr vmap { 10.9.9.9 : accept, * : drop }", at: "forward", 5), .pod),
        (foreign("oifname \"cni0\" drop", at: "postrouting", 50), .pod),
        (foreign("iifname \"eth0\" drop", at: "forward", 50), .outside),
        (foreign("iif \"eth0\" oif \"cni0\" drop", at: "forward", 50), .outside),
        (foreign("ip daddr & 255.255.255.0 == 10.244.1.0 drop", at: "postrouting", 300), .pod),
        (foreign("tcp dport 80 drop", at: "output", -150), .node),
        (foreign("tcp dport 8080 reject", at: "output", 5, family: "inet"), .node),
        (foreign("tcp flags syn / syn,ack drop", at: "output", 5), .node),
        (foreign("", at: "forward", 20, policy: "drop"), .pod),
        (foreign("tcp dport 80 accept", at: "forward", 20, policy: "drop"), .outside),
        (foreign("", at: "output", 20, family: "inet", policy: "drop"), .node),
        // The first packet passes, and its answer does not.
        (foreign("tcp dport 8080 accept", at: "forward", 10, policy: "drop"), .pod),
        (foreign("tcp sport 8080 drop", at: "prerouting", -300), .outside),
        (foreign("tcp sport 8080 drop", at: "prerouting", -50), .node),
        (foreign("ct direction reply drop", at: "forward", 10), .pod),
        (foreign("ct state established ct direction original drop", at: "forward", 10), .outside),
        (foreign("ct status dnat tcp sport 80 drop", at: "input", 110), .node),
        (foreign("tcp dport 80 notrack", at: "prerouting", -300), .pod),
        (foreign("tcp dport 80 notrack", at: "output", -300), .node),
    ].map { Tampering(script: $0, client: $1, answer: .differs) }

    private static let translations = [
        (
            foreign(
                "ip daddr 10.96.0.10 tcp dport 80 dnat to 10.244.1.3:9090",
                at: "prerouting",
                -120,
                type: "nat"
            ), Client.pod
        ),
        (
            foreign("tcp dport 30080 dnat to 10.244.1.3:9090", at: "prerouting", -102, type: "nat"),
            .outside
        ),
        (
            foreign(
                "ip daddr 10.96.0.10 tcp dport 80 dnat ip to 10.244.1.3:9090",
                at: "output",
                -110,
                family: "inet",
                type: "nat"
            ), .node
        ),
        (foreign("tcp dport 8080 masquerade", at: "postrouting", 90, type: "nat"), .pod),
        (foreign("tcp dport 8080 snat to 10.244.1.1", at: "postrouting", 0, type: "nat"), .pod),
    ].map { Tampering(script: $0, client: $1, answer: .differs) }

    private static let routes = [
        // An endpoint that is sought outside may be there.
        ("ip link set cni0 down", Client.outside, Answer.cannotTell),
        ("ip link set cni0 down", .node, .cannotTell),
        ("ip route add 10.244.1.2 dev eth0", .node, .cannotTell),
        ("ip route add unreachable 10.244.1.2", .outside, .differs),
        ("ip route add blackhole 10.244.1.2", .node, .differs),
        ("ip route delete default", .node, .differs),
        ("ip rule add to 10.244.1.2 prohibit", .outside, .differs),
        ("sysctl -qw net.ipv4.ip_forward=0", .outside, .differs),
    ].map {
        Tampering(
            command: $0.split(separator: " ").map(String.init),
            client: $1,
            answer: $2
        )
    }

    private static let harmless = [
        (foreign("tcp dport 80 counter accept", at: "prerouting", -300), Client.pod),
        (foreign("tcp dport 81 drop", at: "prerouting", -300), .pod),
        (foreign("tcp dport 80 drop", at: "forward", -10), .pod),
        (foreign("tcp dport { 22, 443, 8443-9000 } drop", at: "forward", -10), .pod),
        (foreign("ip saddr 198.51.100.0/24 drop", at: "forward", 10, family: "inet"), .outside),
        (foreign("tcp dport . ct state { 8080 . new } accept", at: "forward", 10), .pod),
        (foreign("ct status dnat accept", at: "forward", 10, policy: "drop"), .pod),
        (foreign("ct status dnat accept", at: "forward", 10, policy: "drop"), .outside),
        (foreign("drop", at: "input", 10), .pod),
        (foreign("iif \"lo\" drop", at: "forward", 10), .pod),
        (
            "add table ip foreign; add counter ip foreign c; "
                + foreign("counter name c", at: "forward", 10), .pod
        ),
        (foreign("drop", at: "forward", 10, family: "ip6"), .outside),
        (
            foreign("tcp dport 8080 dnat to 10.244.1.3:9090", at: "prerouting", -50, type: "nat"),
            .pod
        ),
        (foreign("tcp dport 80 redirect", at: "output", -50, type: "nat"), .node),
        (foreign("ip daddr 10.96.0.10 accept", at: "prerouting", -110, type: "nat"), .pod),
        (foreign("tcp dport 8080 accept", at: "postrouting", 90, type: "nat"), .outside),
        (foreign("limit rate 1/second log", at: "forward", 10), .outside),
        (
            foreign("drop", at: "forward", 0, family: "inet")
                + "; add table inet foreign { flags dormant; }", .pod
        ),
        ("", .pod), ("", .node), ("", .outside),
    ].map { Tampering(script: $0, client: $1, answer: .agrees) }

    static func iptables(_ words: String) -> [String] {
        ["iptables-nft"] + words.split(separator: " ").map(String.init)
    }

    private static let doubtful =
        [
            "-A FORWARD -m statistic --mode random --probability 1 -j DROP",
            "-A FORWARD -m recent --name x --rcheck -j DROP",
            "-A FORWARD -m time --timestart 00:00 -j REJECT",
            "-t mangle -I PREROUTING -m ttl --ttl-gt 1 -j MARK --set-mark 1",
            "-A FORWARD -j REJECT",
        ].map { Tampering(command: iptables($0), answer: .cannotTell) }
        + [
            Tampering(
                script: foreign("limit rate 1/hour drop", at: "forward", 10),
                answer: .cannotTell
            ),
            Tampering(
                script: foreign("meta length 40-200 drop", at: "forward", 10),
                answer: .cannotTell
            ),
            Tampering(
                script: "add table netdev foreign; add chain netdev foreign x { type filter hook"
                    + " ingress device eth0 priority 0; }; add rule netdev foreign x tcp dport 30080"
                    + " drop",
                client: .outside,
                answer: .cannotTell
            ),
            Tampering(
                command: ["iptables-legacy", "-A", "FORWARD", "-j", "DROP"],
                answer: .cannotTell
            ),
            Tampering(
                command: iptables("-t mangle -I PREROUTING -m ttl --ttl-gt 1 -j LOG"),
                answer: .agrees
            ),
            Tampering(
                command: iptables("-A FORWARD -m comment --comment hi -j ACCEPT"),
                answer: .agrees
            ),
            Tampering(
                command: iptables("-A FORWARD -p tcp --dport 8080 -j DROP"),
                answer: .differs
            ),
        ]
}
