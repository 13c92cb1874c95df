package import NetworkTypes

/// A setting, chain or network outside needletail that prevents, or may prevent, forwarding to pods.
///
/// A chain that drops whatever no rule accepts is not proof, since its rules may accept the packets
/// of Services and pods. The report therefore says what was seen, and what to do.
package struct ForwardingObstacle: Sendable, Hashable {
    package enum Cause: String, Sendable, Hashable, CaseIterable {
        case sysctl, nftables, network
        case iptablesLegacy = "iptables-legacy"
    }

    package let cause: Cause
    package let families: [IPFamily]
    /// The name of the obstacle, which stays the same while it exists.
    package let subject: String
    package let state: String
    package let advice: String

    /// The report on one line.
    package var text: String { "\(subject) \(state); \(advice)" }
}

extension ForwardingObstacle {
    /// Describes a sysctl that turns off forwarding in a family.
    ///
    /// - Parameter name: the path below `/proc/sys`
    package init(sysctl name: String, of family: IPFamily) {
        let name = name.replacing("/", with: ".")
        self.init(
            cause: .sysctl,
            families: [family],
            subject: "sysctl \(name)",
            state: "is 0: this node forwards no \(family) packet, to no pod",
            advice: "set it to 1 (sysctl -w \(name)=1, and in /etc/sysctl.d)"
        )
    }

    /// Describes bridges of pods whose packets pass no rules.
    ///
    /// - Parameters:
    ///   - name: the sysctl's path below `/proc/sys`
    ///   - value: nil if there is no such sysctl
    package init(
        bridges: [String],
        sysctl name: String,
        _ value: String?,
        of family: IPFamily
    ) {
        let name = name.replacing("/", with: ".")
        let state = value.map { "is \($0)" } ?? "does not exist (no br_netfilter)"
        let load = value == nil ? "modprobe br_netfilter, and " : ""
        self.init(
            cause: .sysctl,
            families: [family],
            subject: "sysctl \(name)",
            state: "\(state): on \(bridges.joined(separator: ", ")), a pod gets no answer by"
                + " \(family) from a Service whose endpoint is another pod of this node",
            advice: "\(load)sysctl -w \(name)=1 (and in /etc/modules-load.d and /etc/sysctl.d)"
        )
    }

    /// Describes a network that this node shares with pods of its own.
    ///
    /// - Parameter pods: some of them, of which there is at least one
    package init(pods: [IPAddress], onNetworkOf interface: String) {
        let shown = pods.prefix(3).map(\.description).joined(separator: ", ")
        self.init(
            cause: .network,
            families: Set(pods.map(\.family)).sorted(),
            subject: "the network of interface \(interface)",
            state: "has pods of this node (\(shown)\(pods.count > 3 ? ", …" : "")), which send and"
                + " answer past it: their connections to cluster IPs are not translated here, or"
                + " not translated back",
            advice: "lead the pods' way to cluster IPs through this node, and use --masquerade-all"
        )
    }

    /// Describes a strict reverse path filter on an interface that is not the way back to clients.
    package init(strictFilterOn interface: String, at address: IPAddress, wayBack: String) {
        let name = "net.ipv4.conf.\(interface).rp_filter"
        self.init(
            cause: .sysctl,
            families: [.ipv4],
            subject: "sysctl \(name)",
            state: "(or that of all) is 1: clients from other networks are dropped at \(address),"
                + " since the way back to them leaves by \(wayBack)",
            advice: "sysctl -w \(name)=2 (and in /etc/sysctl.d), or route the answers of"
                + " \(address) back by \(interface)"
        )
    }

    /// Describes a chain of iptables-legacy with the policy DROP.
    package init(
        legacyChainOf family: IPFamily,
        ruleCount: Int,
        targets: [String],
        pods: [IPPrefix]
    ) {
        let command = family == .ipv4 ? "iptables-legacy" : "ip6tables-legacy"
        self.init(
            cause: .iptablesLegacy,
            families: [family],
            subject: "chain FORWARD of \(command)",
            state: "has the policy DROP" + Self.rules(ruleCount, targets),
            advice: Self.advice(command, targets, pods.filter { $0.family == family })
        )
    }

    /// Describes a base chain of nf_tables at the forward hook.
    ///
    /// - Parameters: - family: the family as nft writes it - refusal: the verdict of the last rule;
    ///   nil if the policy drops
    package init(
        chain: String,
        of table: String,
        _ family: String,
        _ families: [IPFamily],
        refusal: String?,
        ruleCount: Int,
        targets: [String],
        pods: [IPPrefix]
    ) {
        let ending = refusal.map { "ends with \($0)" } ?? "has the policy drop"
        let pods = pods.filter { families.contains($0.family) }
        let advice: String
        if table == "firewalld" {
            let sources = pods.map { " --add-source=\($0)" }.joined()
            advice =
                "firewalld has it: put the pods into a zone that forwards (firewall-cmd --permanent"
                + " --zone=trusted\(sources.isEmpty ? " --add-source=PODS" : sources);"
                + " firewall-cmd --reload)"
        } else if chain == "FORWARD", table == "filter", family != "inet" {
            advice = Self.advice(family == "ip" ? "iptables" : "ip6tables", targets, pods)
        } else {
            advice =
                "see that it accepts pods and Services (nft insert rule \(family) \(table) \(chain)"
                + " ct status dnat accept, and the pods' own packets)"
        }
        self.init(
            cause: .nftables,
            families: families,
            subject: "chain \(chain) of table \(family) \(table)",
            state: ending + Self.rules(ruleCount, targets),
            advice: advice
        )
    }

    private static func rules(_ count: Int, _ targets: [String]) -> String {
        let rules =
            switch count {
            case 0: ", and it has no rule that could accept anything"
            case 1: ": what its 1 rule does not accept is dropped"
            default: ": what its \(count) rules do not accept is dropped"
            }
        guard !targets.isEmpty else { return rules }
        let shown = targets.prefix(8).joined(separator: ", ")
        return rules + " (they lead to \(shown)\(targets.count > 8 ? ", …" : ""))"
    }

    /// Returns advice for the chain FORWARD of an iptables command, depending on its likely owner.
    private static func advice(_ command: String, _ targets: [String], _ pods: [IPPrefix]) -> String
    {
        let block = pods.first.map(\.description) ?? "PODS"
        if targets.contains(where: { $0.hasPrefix("DOCKER") }) {
            return
                "Docker sets it: accept pods (\(command) -I DOCKER-USER -s \(block) -j ACCEPT, and"
                + " the same with -d), or set \"ip-forward-no-drop\": true in /etc/docker/daemon.json"
                + " and \(command) -P FORWARD ACCEPT"
        }
        if targets.contains(where: { $0.hasPrefix("ufw") }) {
            return "ufw sets it: ufw default allow routed, or ufw route allow to \(block)"
        }
        return "if nothing needs it, \(command) -P FORWARD ACCEPT; else see that rules accept pods"
            + " (\(command) -A FORWARD -s \(block) -j ACCEPT, and the same with -d)"
    }
}
