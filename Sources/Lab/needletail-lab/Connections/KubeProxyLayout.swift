internal import NetworkTypes
internal import ServicePlan

/// The rules that kube-proxy 1.36 makes of Services in mode nftables, as text for nft, for
/// comparison.
///
/// Hooks, chains, sets and the order of rules are those of `pkg/proxy/nftables/proxier.go`:
/// `setupNFTables` and `syncProxyRules`. There is a chain for each Service port and for each of its
/// endpoints, and a verdict map leads to them. Only IPv4 and external traffic policy Cluster are
/// covered, and no NodePorts.
struct KubeProxyLayout {
    private let clusterCIDR: IPPrefix
    private var clusterIPs: [String] = []
    private var services: [String] = []
    private var firewalls: [String] = []
    private var sets: [String] = []
    private var chains: [String] = []

    init(_ plans: [ServicePlan], clusterCIDR: IPPrefix) {
        self.clusterCIDR = clusterCIDR
        for plan in plans { add(plan) }
    }

    /// The whole table, which `nft -f` loads in one transaction.
    var text: String {
        let frontends = "type ipv4_addr . inet_proto . inet_service : verdict"
        let objects = [
            Self.set("cluster-ips", "type ipv4_addr", clusterIPs),
            Self.set("nodeport-ips", "type ipv4_addr", [ConnectionPath.nodeAddress]),
            Self.set(
                "hairpin-connections",
                "type ipv4_addr . ipv4_addr . inet_proto . inet_service",
                []
            ),
            Self.map("no-endpoint-services", frontends, []),
            Self.map("no-endpoint-nodeports", "type inet_proto . inet_service : verdict", []),
            Self.map("firewall-ips", frontends, firewalls),
            Self.map("service-ips", frontends, services),
            Self.map("service-nodeports", "type inet_proto . inet_service : verdict", []),
        ]
        return "table ip kube-proxy {\n"
            + (objects + sets + Self.constantChains + chains).joined() + "}\n"
    }

    private mutating func add(_ plan: ServicePlan) {
        for frontend in plan.frontends {
            guard case .balance(let pool) = frontend.action else { continue }
            let key = frontend.key
            let base = "\(plan.service)/\(key.transport)/\(frontend.portName)"
            let name = "\(Self.hash(base))-\(base)"
            let target = "\(key.address) . \(key.transport) . \(key.port)"
            // Frontends of one port share the chain of the Service.
            if frontend.kind == .clusterIP {
                clusterIPs.append("\(key.address)")
                services.append("\(target) : goto service-\(name)")
                addService(name, base, frontend, plan.pools[pool].endpoints)
            } else {
                services.append("\(target) : goto external-\(name)")
                let rules = ["jump mark-for-masquerade", "goto service-\(name)"]
                chains.append(Self.chain("external-\(name)", rules))
            }
            if let sources = frontend.allowedSources {
                firewalls.append("\(target) : goto firewall-\(name)")
                let blocks = sources.map(\.description).joined(separator: ", ")
                chains.append(Self.chain("firewall-\(name)", ["ip saddr != { \(blocks) } drop"]))
            }
        }
    }

    private mutating func addService(
        _ name: String,
        _ base: String,
        _ frontend: Frontend,
        _ endpoints: [Endpoint]
    ) {
        let key = frontend.key
        var rules = ["ip daddr \(key.address) ip saddr != \(clusterCIDR) jump mark-for-masquerade"]
        var verdicts: [String] = []
        for (index, endpoint) in endpoints.enumerated() {
            let full = "\(base)__\(endpoint.address)/\(endpoint.port)"
            let suffix = "\(Self.hash(full))-\(full)"
            verdicts.append("\(index) : goto endpoint-\(suffix)")
            var last = ["meta l4proto \(key.transport) dnat to \(endpoint)"]
            if let timeout = frontend.affinityTimeout {
                let remembered = "affinity-\(suffix)"
                sets.append(
                    Self.set(
                        remembered,
                        "type ipv4_addr\n\t\tflags dynamic,timeout\n\t\ttimeout \(timeout)s",
                        []
                    )
                )
                rules.append("ip saddr @\(remembered) goto endpoint-\(suffix)")
                last.insert("update @\(remembered) { ip saddr }", at: 0)
            }
            chains.append(Self.chain("endpoint-\(suffix)", last))
        }
        rules.append(
            "numgen random mod \(endpoints.count) vmap { \(verdicts.joined(separator: ", ")) }"
        )
        chains.append(Self.chain("service-\(name)", rules))
    }

    private static let constantChains: [String] = {
        let isNew = "ct state new jump"
        let frontend = "ip daddr . meta l4proto . th dport"
        let check = "filter hook"
        return [
            chain("reject-chain", ["reject"]),
            chain("firewall-check", ["\(frontend) vmap @firewall-ips"]),
            chain("service-endpoints-check", ["\(frontend) vmap @no-endpoint-services"]),
            chain(
                "nodeport-endpoints-check",
                ["ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports"]
            ),
            chain(
                "cluster-ips-check",
                ["ip daddr @cluster-ips reject", "ip daddr { \(ConnectionPath.serviceCIDR) } drop"]
            ),
            chain("mark-for-masquerade", ["meta mark set meta mark | 0x00004000"]),
            chain(
                "masquerading",
                [
                    "meta mark & 0x00004000 != 0 meta mark set meta mark ^ 0x00004000 masquerade fully-random",
                    "ct status dnat ip saddr . ip daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random",
                ]
            ),
            chain(
                "services",
                [
                    "\(frontend) vmap @service-ips",
                    "ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports",
                ]
            ),
            base(
                "filter-prerouting-pre-dnat",
                "\(check) prerouting",
                -110,
                ["\(isNew) firewall-check"]
            ),
            base("filter-output-pre-dnat", "\(check) output", -110, ["\(isNew) firewall-check"]),
            base(
                "filter-input",
                "\(check) input",
                0,
                ["\(isNew) nodeport-endpoints-check", "\(isNew) service-endpoints-check"]
            ),
            base(
                "filter-forward",
                "\(check) forward",
                0,
                ["\(isNew) service-endpoints-check", "\(isNew) cluster-ips-check"]
            ),
            base(
                "filter-output",
                "\(check) output",
                0,
                ["\(isNew) service-endpoints-check", "\(isNew) cluster-ips-check"]
            ),
            base("nat-prerouting", "nat hook prerouting", -100, ["jump services"]),
            base("nat-output", "nat hook output", -100, ["jump services"]),
            base("nat-postrouting", "nat hook postrouting", 100, ["jump masquerading"]),
        ]
    }()

    private static func set(_ name: String, _ type: String, _ elements: [String]) -> String {
        object("set", name, type, elements)
    }

    private static func map(_ name: String, _ type: String, _ elements: [String]) -> String {
        object("map", name, type, elements)
    }

    private static func object(
        _ kind: String,
        _ name: String,
        _ type: String,
        _ elements: [String]
    ) -> String {
        let list = elements.joined(separator: ", ")
        return "\t\(kind) \(name) {\n\t\t\(type)\n"
            + (elements.isEmpty ? "" : "\t\telements = { \(list) }\n") + "\t}\n"
    }

    private static func base(
        _ name: String,
        _ hook: String,
        _ priority: Int,
        _ rules: [String]
    ) -> String {
        chain(name, ["type \(hook) priority \(priority);"] + rules)
    }

    private static func chain(_ name: String, _ lines: [String]) -> String {
        "\tchain \(name) {\n" + lines.map { "\t\t\($0)\n" }.joined() + "\t}\n"
    }

    /// Returns eight letters for a name; kube-proxy takes those of SHA-256, these are FNV-1a's.
    private static func hash(_ name: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
        return String((0..<8).map { letters[Int((hash >> (5 * $0)) & 31)] })
    }
}
