@testable import KubeProxyLeftovers
import NetworkNamespaces
import NetworkTypes
import Netlink
import TestSupport
import Testing

/// Tests of what is kube-proxy's in nf_tables, and of what only looks like it.
@Suite(.timeLimit(.minutes(30))) struct KubeProxyRulesTests {
    // MARK: Names

    @Test(arguments: [
        "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING",
        "KUBE-MARK-MASQ", "KUBE-FORWARD", "KUBE-PROXY-FIREWALL", "KUBE-PROXY-CANARY",
        "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-SOURCE-RANGES-FIREWALL", "KUBE-IPVS-FILTER",
        "KUBE-IPVS-OUT-FILTER", "KUBE-SVC-TCOU7JCQXEZGVUNU", "KUBE-SVL-NPX46M4PTMTKRN6Y",
        "KUBE-SEP-6E7XQMQ4RAYOWTTM", "KUBE-EXT-4N57TFCL4MD7ZTDA", "KUBE-FW-4N57TFCL4MD7ZTDA",
        "KUBE-XLB-4N57TFCL4MD7ZTDA",
    ])
    func `kube-proxy's chains are known`(name: String) { #expect(KubeProxyChains.contains(name)) }

    /// The chains of the kubelet, of kube-router, Calico, Cilium and Flannel, and of users.
    @Test(arguments: [
        "KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT", "KUBE-MARK-DROP",
        "KUBE-ROUTER-INPUT", "KUBE-ROUTER-SERVICES", "KUBE-POD-FW-AAAA", "KUBE-NWPLCY-DEFAULT",
        "KUBE-SERVICES-2", "KUBE-SVC", "KUBE-SVCX-A", "MY-KUBE-SERVICES", "XKUBE-SVC-A",
        "kube-services", "KUBE-SERVICES ", "cali-PREROUTING", "CILIUM_FORWARD", "FLANNEL-POSTRTG",
        "CNI-HOSTPORT-DNAT", "DOCKER", "PREROUTING", "",
    ])
    func `others' chains are not kube-proxy's`(name: String) {
        #expect(!KubeProxyChains.contains(name))
    }

    /// The sets of `pkg/proxy/ipvs/ipset.go`.
    private static let sets = [
        "KUBE-LOOP-BACK", "KUBE-CLUSTER-IP", "KUBE-EXTERNAL-IP", "KUBE-EXTERNAL-IP-LOCAL",
        "KUBE-LOAD-BALANCER", "KUBE-LOAD-BALANCER-LOCAL", "KUBE-LOAD-BALANCER-FW",
        "KUBE-LOAD-BALANCER-SOURCE-IP", "KUBE-LOAD-BALANCER-SOURCE-CIDR", "KUBE-NODE-PORT-TCP",
        "KUBE-NODE-PORT-LOCAL-TCP", "KUBE-NODE-PORT-UDP", "KUBE-NODE-PORT-LOCAL-UDP",
        "KUBE-NODE-PORT-SCTP-HASH", "KUBE-NODE-PORT-LOCAL-SCTP-HASH", "KUBE-HEALTH-CHECK-NODE-PORT",
        "KUBE-IPVS-IPS",
    ]

    /// Names of IPv6 sets are cut off after 31 characters, as the kernel takes no longer ones.
    @Test(arguments: sets) func `kube-proxy's ipsets of both families are known`(name: String) {
        #expect(name.isKubeProxySet)
        let name6 = "KUBE-6-\(name.dropFirst(5))"
        #expect(String(name6.prefix(31)).isKubeProxySet, "\(name6)")
    }

    @Test(arguments: [
        "KUBE-SRC-ABC", "KUBE-DST-ABC", "KUBE-SVC-ALL", "KUBE-CLUSTER-IP2", "KUBE-CLUSTER-I",
        "KUBE-6-", "KUBE-", "KUBE-6-6-CLUSTER-IP", "KUBE-4-CLUSTER-IP", "6-KUBE-CLUSTER-IP",
        "kube-cluster-ip", "cali40masq-ipam-pools", "inet6:KUBE-CLUSTER-IP", "",
    ])
    func `others' ipsets are not kube-proxy's`(name: String) { #expect(!name.isKubeProxySet) }

    // MARK: Tables

    private struct Rule {
        let text: String
        var target: String?
    }

    private struct Chain {
        let name: String
        var hook: String?
        var rules: [Rule] = []
    }

    private struct Table {
        let name: String
        var chains: [Chain]

        /// Whether names in this table are those of iptables-nft.
        var isIPTables: Bool {
            ["ip", "ip6"].flatMap { ["\($0) nat", "\($0) filter", "\($0) mangle"] }.contains(name)
        }
        var isKubeProxys: Bool { ["ip kube-proxy", "ip6 kube-proxy"].contains(name) }
    }

    private func isKubeProxys(_ chain: String) -> Bool {
        ["KUBE-SVC-", "KUBE-SEP-", "KUBE-FW-"].contains(where: chain.hasPrefix)
    }

    private func randomTables(_ random: inout Seeded) -> [Table] {
        let families = ["ip", "ip6", "inet", "arp"]
        let tables = ["nat", "filter", "mangle", "raw", "kube-proxy", "kube-proxy2"]
        return families.flatMap { family in tables.map { "\(family) \($0)" } }
            .filter { _ in Int.random(in: 0..<3, using: &random) > 0 }.shuffled(using: &random)
            .map { name in
                let hook = name.hasPrefix("arp") ? "input" : "prerouting"
                var chains = [Chain(name: "BASE", hook: "type filter hook \(hook) priority 0;")]
                for number in 0..<Int.random(in: 0...6, using: &random) {
                    let start = ["KUBE-SVC-", "KUBE-SEP-", "KUBE-FW-", "KUBE-FIREWALL-", "MINE-"]
                        .randomElement(using: &random)
                    chains.append(Chain(name: "\(start ?? "")\(number)"))
                }
                // A chain leads to later ones only.
                for index in chains.indices {
                    for _ in 0..<Int.random(in: 0...4, using: &random) {
                        let match = ["", "counter ", "meta mark 0x4000 ", "iifname \"lo\" "]
                            .randomElement(using: &random)
                        let target = chains[(index + 1)...].randomElement(using: &random)?.name
                        let verb = Bool.random(using: &random) ? "jump" : "goto"
                        let verdict = target.map { "\(verb) \($0)" } ?? "return"
                        chains[index].rules.append(
                            Rule(text: (match ?? "") + verdict, target: target)
                        )
                    }
                }
                return Table(name: name, chains: chains)
            }
    }

    private func text(_ tables: [Table]) -> String {
        tables.map { table in
            let chains = table.chains.map { chain in
                let rules = chain.rules.map { "\($0.text)\n" }.joined()
                return "chain \(chain.name) {\n\(chain.hook ?? "")\n\(rules)}\n"
            }
            return "table \(table.name) {\n\(chains.joined())}\n"
        }
        .joined()
    }

    /// Returns the tables without what is kube-proxy's.
    private func rest(_ tables: [Table]) -> [Table] {
        tables.filter { !$0.isKubeProxys }.map { table in
            guard table.isIPTables else { return table }
            var table = table
            table.chains = table.chains.filter { !isKubeProxys($0.name) }
            for index in table.chains.indices {
                table.chains[index].rules.removeAll { $0.target.map(isKubeProxys) ?? false }
            }
            return table
        }
    }

    private func lines(_ tables: [Table]) -> [String] {
        tables.flatMap { table in
            if table.isKubeProxys { return ["table \(table.name)"] }
            guard table.isIPTables, table.chains.contains(where: { isKubeProxys($0.name) }) else {
                return []
            }
            return table.chains.flatMap { chain in
                let place = "table \(table.name) chain \(chain.name)"
                if isKubeProxys(chain.name) { return [place] }
                return chain.rules.compactMap(\.target).filter(isKubeProxys)
                    .map { "\(place): jump \($0)" }
            }
        }
        .sorted()
    }

    /// The oracle is nft: the rest must look as if nothing else had ever been there.
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `of any tables all that is kube-proxy's goes, at once, and nothing else`(seed: UInt64)
        throws
    {
        var random = Seeded(seed)
        let tables = randomTables(&random)
        let (namespace, other) = (try NetworkNamespace(), try NetworkNamespace())
        func list(_ namespace: NetworkNamespace) throws -> String {
            try namespace.run(["nft", "list", "ruleset"])
        }
        try namespace.run(["nft", "-f", "-"], input: text(tables))
        try other.run(["nft", "-f", "-"], input: text(rest(tables)))
        let before = try list(namespace)
        let found = try namespace.inside {
            var socket = try NetlinkSocket(.netfilter)
            return try KubeProxyRules(&socket).differences.map(\.object)
        }
        #expect(found == lines(tables), "seed \(seed)\n\(text(tables))")
        #expect(try list(namespace) == before, "looking has changed something")
        let isEmpty = try namespace.inside {
            var socket = try NetlinkSocket(.netfilter)
            let rules = try KubeProxyRules(&socket)
            if !rules.isEmpty { try rules.remove(&socket) }
            return try KubeProxyRules(&socket).isEmpty
        }
        #expect(isEmpty, "seed \(seed)")
        #expect(try list(namespace) == list(other), "seed \(seed)")
    }
}
