import Logging
import NetworkTypes
import Observability
import ServicePlan
import Synchronization
import TestSupport
import Testing

/// Tests of the reports about other programs that stop forwarding.
@Suite struct ForwardingTests {
    private let pods = [prefix("10.244.0.0/16"), prefix("fd00:1::/48")]

    private func chain(
        _ chain: String,
        _ table: String,
        _ family: String,
        refusal: String? = nil,
        rules: Int = 3,
        targets: [String] = []
    ) -> ForwardingObstacle {
        ForwardingObstacle(
            chain: chain,
            of: table,
            family,
            family == "ip" ? [.ipv4] : [.ipv4, .ipv6],
            refusal: refusal,
            ruleCount: rules,
            targets: targets,
            pods: pods
        )
    }

    @Test func `what was seen is told, and what to do about it`() {
        let docker = chain("FORWARD", "filter", "ip", targets: ["DOCKER-USER", "DOCKER-FORWARD"])
        #expect(
            docker.text == """
                chain FORWARD of table ip filter has the policy drop: what its 3 rules do not accept is \
                dropped (they lead to DOCKER-USER, DOCKER-FORWARD); Docker sets it: accept pods (iptables \
                -I DOCKER-USER -s 10.244.0.0/16 -j ACCEPT, and the same with -d), or set \
                "ip-forward-no-drop": true in /etc/docker/daemon.json and iptables -P FORWARD ACCEPT
                """
        )
        let firewalld = chain("filter_FORWARD", "firewalld", "inet", refusal: "reject", rules: 1)
        #expect(
            firewalld.text.contains("ends with reject: what its 1 rule does not accept is dropped")
        )
        #expect(
            firewalld.text.contains(
                "--zone=trusted --add-source=10.244.0.0/16 --add-source=fd00:1::/48; firewall-cmd --reload"
            )
        )
        #expect(
            chain("FORWARD", "filter", "ip", targets: ["ufw-before-forward"]).advice
                .contains("ufw default allow routed")
        )
        #expect(
            chain("f", "mine", "inet", rules: 0).text
                == "chain f of table inet mine has the policy drop, and it has no rule that could accept"
                + " anything; see that it accepts pods and Services (nft insert rule inet mine f ct status"
                + " dnat accept, and the pods' own packets)"
        )
        let legacy = ForwardingObstacle(legacyChainOf: .ipv6, ruleCount: 2, targets: [], pods: pods)
        #expect(
            legacy.text.hasPrefix(
                "chain FORWARD of ip6tables-legacy has the policy DROP: what its 2"
            )
        )
        #expect(legacy.advice.contains("ip6tables-legacy -A FORWARD -s fd00:1::/48 -j ACCEPT"))
        #expect(
            ForwardingObstacle(sysctl: "net/ipv4/ip_forward", of: .ipv4).text.hasPrefix(
                "sysctl net.ipv4.ip_forward is 0: this node forwards no IPv4 packet"
            )
        )
    }

    @Test func `bridges without rules say what fails, and how to mend it`() {
        let name = "net/bridge/bridge-nf-call-ip6tables"
        let off = ForwardingObstacle(bridges: ["cni0", "lxdbr0"], sysctl: name, "0", of: .ipv6)
        #expect(
            off.text == "sysctl net.bridge.bridge-nf-call-ip6tables is 0: on cni0, lxdbr0, a pod"
                + " gets no answer by IPv6 from a Service whose endpoint is another pod of this"
                + " node; sysctl -w net.bridge.bridge-nf-call-ip6tables=1 (and in"
                + " /etc/modules-load.d and /etc/sysctl.d)"
        )
        let missing = ForwardingObstacle(bridges: ["cni0"], sysctl: name, nil, of: .ipv6)
        #expect(missing.state.hasPrefix("does not exist (no br_netfilter): on cni0"))
        #expect(missing.advice.hasPrefix("modprobe br_netfilter, and sysctl -w"))
        // The value may change while the obstacle is the same.
        #expect(off.subject == missing.subject && off.cause == .sysctl)
    }

    @Test func `each is told once, as long as it is there`() {
        let told = Mutex<[String]>([])
        let monitor = ProxyMonitor(
            ProxyMetrics(version: "test", mode: "nftables"),
            families: [.ipv4, .ipv6],
            patience: 60,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            announce: { reason, _, note in told.withLock { $0.append("\(reason) \(note)") } },
            onSynced: { _ in }
        )
        func count(_ cause: String, _ family: String) -> Bool {
            Exposition.text(monitor.metrics.all, openMetrics: false).contains(
                "needletail_forwarding_obstacles{cause=\"\(cause)\",ip_family=\"\(family)\"} 1\n"
            )
        }
        let sysctl = ForwardingObstacle(sysctl: "net/ipv4/ip_forward", of: .ipv4)
        monitor.setForwarding([sysctl], unread: [])
        monitor.setForwarding([sysctl, chain("f", "t", "inet", rules: 1)], unread: [])
        monitor.setForwarding([sysctl, chain("f", "t", "inet", rules: 2)], unread: [])
        #expect(told.withLock { $0.count } == 2)
        #expect(
            told.withLock { $0[0] }.hasPrefix(
                "ForwardingBlocked traffic to pods may be dropped: sysctl"
            )
        )
        #expect(count("sysctl", "IPv4") && !count("sysctl", "IPv6"))
        #expect(count("nftables", "IPv4") && count("nftables", "IPv6"))
        monitor.setForwarding([], unread: [])
        #expect(!count("sysctl", "IPv4") && !count("nftables", "IPv6"))
        monitor.setForwarding([sysctl], unread: [])
        #expect(told.withLock { $0.count } == 3)
    }
}
