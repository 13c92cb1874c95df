internal import NetworkTypes

extension KubeProxyConfiguration {
    /// The values that are invalid by kube-proxy's rules (`pkg/proxy/apis/config/validation`).
    package func validate() -> [ConfigurationProblem] {
        var problems: [ConfigurationProblem] = []
        func check(_ holds: Bool, _ field: String, _ reason: @autoclosure () -> String) {
            if !holds { problems.append(ConfigurationProblem(field, reason())) }
        }
        check(
            ["", "iptables", "nftables", "ipvs"].contains(mode),
            "mode",
            "\(mode.quoted) is none of nftables, ipvs, iptables"
        )
        check(
            ["text", "json"].contains(logging.format),
            "logging.format",
            "\(logging.format.quoted) is neither text nor json"
        )
        check(
            ["", "application/vnd.kubernetes.protobuf", "application/json"]
                .contains(clientConnection.contentType),
            "clientConnection.contentType",
            "\(clientConnection.contentType.quoted) is neither"
                + " application/vnd.kubernetes.protobuf nor application/json"
        )
        check(
            IPAddress(bindAddress) != nil,
            "bindAddress",
            "\(bindAddress.quoted) is no IP address"
        )
        check(
            hostnameOverride.isEmpty || Self.isNodeName(hostnameOverride.trimmed),
            "hostnameOverride",
            "\(hostnameOverride.quoted) cannot be the name of a node: letters, digits, \"-\" and \".\""
        )
        checkNumbers(check)
        checkAddresses(check)
        checkDurations(check)
        checkDetection(check)
        check(
            ["endpointslices", "endpoints"].contains(needletail.endpointsSource),
            "needletail.endpointsSource",
            "\(needletail.endpointsSource.quoted) is neither endpointslices nor endpoints"
        )
        // A flag that sets two fields is reported once.
        var told: Set<String> = []
        return problems.filter { problem in
            let flag = Setting.all.first { $0.path == problem.field }?.flag ?? problem.field
            return told.insert("\(flag) \(problem.reason)").inserted
        }
    }

    private static func noBlock(_ text: String) -> String {
        "\(text.quoted) is not a CIDR block, as 10.244.0.0/16 is"
    }

    /// Whether the text is a DNS subdomain; upper case is allowed, since it is lowered later.
    private static func isNodeName(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch UInt8(ascii: "A")...UInt8(ascii: "Z") ~= byte ? byte | 0x20 : byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                    UInt8(ascii: "-"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    private typealias Check = (Bool, String, @autoclosure () -> String) -> Void

    private func checkNumbers(_ check: Check) {
        for (field, bit) in [
            ("iptables.masqueradeBit", iptables.masqueradeBit),
            ("nftables.masqueradeBit", nftables.masqueradeBit),
        ] { check((0...31).contains(bit), field, "\(bit) is not 0-31") }
        for (field, count) in [
            ("conntrack.maxPerCore", conntrack.maxPerCore), ("conntrack.min", conntrack.min),
            ("clientConnection.burst", clientConnection.burst),
            ("logging.verbosity", logging.verbosity),
        ] { check(count >= 0, field, "\(count) is less than 0") }
        check(
            (-1000...1000).contains(oomScoreAdj),
            "oomScoreAdj",
            "\(oomScoreAdj) is not between -1000 and 1000"
        )
        check(
            (0...10_000).contains(needletail.serviceMetrics),
            "needletail.serviceMetrics",
            "\(needletail.serviceMetrics) is not 0-10000"
        )
        check(
            (1...10_000).contains(needletail.namespaceWarnings),
            "needletail.namespaceWarnings",
            "\(needletail.namespaceWarnings) is not 1-10000"
        )
    }

    private func checkAddresses(_ check: Check) {
        for (field, text) in [
            ("healthzBindAddress", healthzAddress), ("metricsBindAddress", metricsAddress),
        ] {
            check(
                text.isEmpty || Self.isAddressWithPort(text),
                field,
                "\(text.quoted) is no IP address with a port, as 0.0.0.0:80 or [::]:80; \"none\" turns it off"
            )
        }
        let blocks = clusterCIDR.commaSeparated
        for text in blocks {
            check(IPPrefix(text) != nil, "clusterCIDR", Self.noBlock(text))
        }
        let families = blocks.compactMap { IPPrefix($0)?.family }
        check(
            blocks.count < 2 || blocks.count == 2 && Set(families).count == 2,
            "clusterCIDR",
            "\(clusterCIDR.quoted) has several blocks of one family; one of each is possible"
        )
        for reason in NodePortAddresses.problems(in: nodePortAddresses) {
            check(false, "nodePortAddresses", reason)
        }
        for text in ipvs.excludeCIDRs {
            check(IPPrefix(text) != nil, "ipvs.excludeCIDRs", Self.noBlock(text))
        }
        for text in needletail.nodeIPs {
            check(IPAddress(text) != nil, "needletail.nodeIPs", "\(text.quoted) is no IP address")
        }
    }

    private func checkDurations(_ check: Check) {
        for (field, span) in [
            ("iptables.syncPeriod", iptables.syncPeriod),
            ("nftables.syncPeriod", nftables.syncPeriod), ("ipvs.syncPeriod", ipvs.syncPeriod),
            ("configSyncPeriod", configSyncPeriod),
        ] { check(span.seconds > 0, field, "\(span) is no period; it has to be more than 0s") }
        for (field, span) in [
            ("ipvs.tcpTimeout", ipvs.tcpTimeout), ("ipvs.tcpFinTimeout", ipvs.tcpFinTimeout),
            ("ipvs.udpTimeout", ipvs.udpTimeout), ("conntrack.udpTimeout", conntrack.udpTimeout),
            ("conntrack.udpStreamTimeout", conntrack.udpStreamTimeout),
            ("conntrack.tcpEstablishedTimeout", conntrack.tcpEstablishedTimeout),
            ("conntrack.tcpCloseWaitTimeout", conntrack.tcpCloseWaitTimeout),
            ("needletail.ipvsDrainTimeout", needletail.ipvsDrainTimeout),
            ("ipvs.minSyncPeriod", ipvs.minSyncPeriod),
        ] {
            // The kernel counts time in jiffies, in 31 bits.
            check(
                (0...2_000_000).contains(span.seconds),
                field,
                "\(span) is not between 0s and 2000000s"
            )
        }
        for (field, shortest, period) in [
            ("iptables.minSyncPeriod", iptables.minSyncPeriod, iptables.syncPeriod),
            ("nftables.minSyncPeriod", nftables.minSyncPeriod, nftables.syncPeriod),
            ("ipvs.minSyncPeriod", ipvs.minSyncPeriod, ipvs.syncPeriod),
        ] {
            check(
                shortest.seconds <= period.seconds,
                field,
                "\(shortest) is more than the sync period, \(period)"
            )
        }
    }

    private func checkDetection(_ check: Check) {
        let modes = ["", "ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"]
        check(
            modes.contains(detectLocalMode),
            "detectLocalMode",
            "\(detectLocalMode.quoted) is none of \(modes.dropFirst().joined(separator: ", "))"
        )
        for (mode, field, name) in [
            ("BridgeInterface", "detectLocal.bridgeInterface", detectLocal.bridgeInterface),
            (
                "InterfaceNamePrefix", "detectLocal.interfaceNamePrefix",
                detectLocal.interfaceNamePrefix
            ),
        ] where detectLocalMode == mode {
            check(!name.isEmpty, field, "is empty; detectLocalMode \(mode) needs it")
            // An interface name in the kernel has 1 to 15 bytes, without blanks and slashes.
            check(
                name.utf8.count <= 15 && !name.contains { " /\"*".contains($0) },
                field,
                "\(name.quoted) cannot be the name of an interface: at most 15 bytes, and no blank, slash,"
                    + " quote or star"
            )
        }
    }

    private static func isAddressWithPort(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":"),
            let port = UInt16(text[text.index(after: colon)...]), port > 0
        else { return false }
        let host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            return IPAddress(String(host.dropFirst().dropLast())) != nil
        }
        return !host.contains(":") && IPAddress(String(host)) != nil
    }
}
