import KubeProxyLeftovers
import NFTablesKernel
import NetworkNamespaces
import NetworkTypes
import Netlink
import TestSupport
import Testing

/// Tests that kube-proxy's leftovers in iptables-legacy are removed, and everything else stays.
///
/// Counters stay too. The oracle is `iptables-legacy-save`, whose text shows the owner of each
/// line.
@Suite(.timeLimit(.minutes(30))) struct XTablesTests {
    private let namespace: NetworkNamespace

    init() throws { namespace = try NetworkNamespace() }

    private func tool(_ family: IPFamily, _ action: String) -> String {
        "\(family == .ipv4 ? "iptables" : "ip6tables")-legacy-\(action)"
    }

    private func rules(_ family: IPFamily) throws -> [String] {
        try namespace.run([tool(family, "save"), "-c"])
            .split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
    }

    /// Returns the lines that do not belong to kube-proxy.
    private func others(_ lines: [String]) -> [String] {
        lines.filter { line in
            let words = line.split(separator: " ").map(String.init)
            if line.hasPrefix(":") {
                return !KubeProxyChains.contains(String(words[0].dropFirst()))
            }
            guard words.count > 2 else { return true }
            let target = words.firstIndex { $0 == "-j" || $0 == "-g" }.map { words[$0 + 1] }
            return !KubeProxyChains.contains(words[2])
                && !(target.map(KubeProxyChains.contains) ?? false)
        }
    }

    private func remove(_ family: IPFamily, dryRun: Bool = false) throws -> [String] {
        try namespace.inside {
            try XTables.names(family).filter(KubeProxyChains.tables.contains).flatMap { table in
                try XTables(family)
                    .remove(chains: KubeProxyChains.contains, from: table, dryRun: dryRun)
            }
        }
    }

    @Test func `it is named, and goes`() throws {
        #expect(try remove(.ipv4).isEmpty)
        #expect(try rules(.ipv4).isEmpty, "looking has made a table")
        try namespace.run(
            [tool(.ipv4, "restore"), "-c"],
            input: """
                *nat
                :PREROUTING ACCEPT [7:420]
                :POSTROUTING ACCEPT [0:0]
                :KUBE-MARK-DROP - [0:0]
                :KUBE-SERVICES - [0:0]
                :KUBE-SVC-A - [0:0]
                [1:60] -A PREROUTING -m comment --comment "service portals" -j KUBE-SERVICES
                [2:120] -A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 192.0.2.9
                [3:180] -A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
                [4:240] -A KUBE-SERVICES -d 10.96.0.10/32 -j KUBE-SVC-A
                [5:300] -A KUBE-SVC-A -j DNAT --to-destination 10.244.1.2
                COMMIT

                """
        )
        let before = try rules(.ipv4)
        let table = "table ip nat of iptables-legacy"
        let lines = [
            "\(table) chain PREROUTING: jump KUBE-SERVICES", "\(table) chain KUBE-SERVICES",
            "\(table) chain KUBE-SVC-A",
        ]
        #expect(try remove(.ipv4, dryRun: true) == lines)
        #expect(try rules(.ipv4) == before)
        #expect(try remove(.ipv4) == lines)
        #expect(try rules(.ipv4) == others(before))
        #expect(try remove(.ipv4).isEmpty)
    }

    @Test(arguments: [IPFamily.ipv4, .ipv6], 1...40)
    func `any table of others stays`(family: IPFamily, seed: UInt64) throws {
        var generator = Seeded(seed)
        let text = Self.randomTables(family, &generator)
        try namespace.run([tool(family, "restore"), "-c"], input: text)
        let before = try rules(family)
        let removed = try remove(family)
        #expect(try rules(family) == others(before), "of\n\(text)")
        #expect(removed.isEmpty == (before == others(before)))
    }

    private static func randomTables(_ family: IPFamily, _ generator: inout Seeded) -> String {
        let matches = [
            "", "-s \(family == .ipv4 ? "192.0.2.0/24" : "2001:db8::/64") ",
            "! -d \(family == .ipv4 ? "192.0.2.1" : "2001:db8::1") ",
            "-m comment --comment x ", "-p tcp -m tcp --dport 80 ", "-p udp -m udp --sport 1:9 ",
            "-m mark --mark 0x4000/0x4000 ", "-m conntrack --ctstate RELATED,ESTABLISHED ",
            "-m statistic --mode random --probability 0.5 ", "-m limit --limit 5/min ",
            "-p tcp -m multiport --dports 1,2 ",
        ]
        func counters() -> String {
            "[\(Int.random(in: 0...9, using: &generator)):\(Int.random(in: 0...999, using: &generator))]"
        }
        var text = ""
        for (table, hooks) in [
            ("filter", ["INPUT", "FORWARD", "OUTPUT"]), ("nat", ["PREROUTING"]),
        ] {
            // A chain jumps to later ones only.
            let chains =
                hooks
                + (0..<Int.random(in: 0...6, using: &generator)).map { number in
                    let names = ["KUBE-SVC-", "KUBE-SEP-", "MINE-", "KUBE-FIREWALL-", "KUBE-EXT-"]
                    return "\(names.randomElement(using: &generator) ?? "")\(number)"
                }
            text += "*\(table)\n"
            for chain in chains {
                text += ":\(chain) \(hooks.contains(chain) ? "ACCEPT" : "-") \(counters())\n"
            }
            for (index, chain) in chains.enumerated() {
                for _ in 0..<Int.random(in: 0...4, using: &generator) {
                    let later = chains[(index + 1)...].filter { !hooks.contains($0) }
                    let ends = ["", "-j ACCEPT", "-j RETURN", "-j DROP"].prefix(
                        table == "nat" ? 3 : 4
                    )
                    let targets = later.map { "-j \($0)" } + later.map { "-g \($0)" } + ends
                    let match = matches.randomElement(using: &generator) ?? ""
                    let target = targets.randomElement(using: &generator) ?? ""
                    text += "\(counters()) -A \(chain) \(match)\(target)\n"
                }
            }
            text += "COMMIT\n"
        }
        return text
    }
}
