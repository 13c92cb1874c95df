internal import NetworkTypes

extension KubeProxyConfiguration {
    /// What cannot be used, by kube-proxy's rules (`pkg/proxy/apis/config/validation`); empty: nothing.
    package func validate() -> [ConfigurationProblem] {
        var problems: [ConfigurationProblem] = []
        func check(_ holds: Bool, _ field: String, _ reason: @autoclosure () -> String) {
            if !holds { problems.append(ConfigurationProblem(field, reason())) }
        }
        check(
            ["", "iptables", "nftables", "ipvs"].contains(mode),
            "mode",
            "\"\(mode)\" is none of nftables, ipvs, iptables"
        )
        check(
            ["text", "json"].contains(logging.format),
            "logging.format",
            "\"\(logging.format)\" is neither text nor json"
        )
        check(
            ["", "application/vnd.kubernetes.protobuf", "application/json"]
                .contains(clientConnection.contentType),
            "clientConnection.contentType",
            "\"\(clientConnection.contentType)\" is neither application/vnd.kubernetes.protobuf nor"
                + " application/json"
        )
        check(IPAddress(bindAddress) != nil, "bindAddress", "\"\(bindAddress)\" is no IP address")
        for (field, bit) in [
            ("iptables.masqueradeBit", iptables.masqueradeBit),
            ("nftables.masqueradeBit", nftables.masqueradeBit),
        ] { check((0...31).contains(bit), field, "\(bit) is not 0-31") }
        check(
            (-1000...1000).contains(oomScoreAdj),
            "oomScoreAdj",
            "\(oomScoreAdj) is not -1000 to 1000"
        )
        check(
            (0...10_000).contains(needletail.serviceMetrics),
            "needletail.serviceMetrics",
            "\(needletail.serviceMetrics) is not 0-10000"
        )
        checkAddresses(check)
        checkDurations(check)
        checkDetection(check)
        check(
            ["endpointslices", "endpoints"].contains(needletail.endpointsSource),
            "needletail.endpointsSource",
            "\"\(needletail.endpointsSource)\" is neither endpointslices nor endpoints"
        )
        return problems
    }

    private typealias Check = (Bool, String, @autoclosure () -> String) -> Void

    private func checkAddresses(_ check: Check) {
        for (field, text) in [
            ("healthzBindAddress", healthzAddress), ("metricsBindAddress", metricsAddress),
        ] {
            check(
                text.isEmpty || Self.isAddressWithPort(text),
                field,
                "\"\(text)\" is not ADDRESS:PORT"
            )
        }
        let blocks = clusterCIDR.commaSeparated
        for text in blocks {
            check(IPPrefix(text) != nil, "clusterCIDR", "\"\(text)\" is not a CIDR block")
        }
        let families = blocks.compactMap { IPPrefix($0)?.family }
        check(
            blocks.count < 2 || blocks.count == 2 && Set(families).count == 2,
            "clusterCIDR",
            "\"\(clusterCIDR)\" has several blocks of one family; one of each is possible"
        )
        for reason in NodePortAddresses.problems(in: nodePortAddresses) {
            check(false, "nodePortAddresses", reason)
        }
        for text in ipvs.excludeCIDRs {
            check(IPPrefix(text) != nil, "ipvs.excludeCIDRs", "\"\(text)\" is not a CIDR block")
        }
        for text in needletail.nodeIPs {
            check(IPAddress(text) != nil, "needletail.nodeIPs", "\"\(text)\" is no IP address")
        }
    }

    private func checkDurations(_ check: Check) {
        for (field, span) in [
            ("iptables.syncPeriod", iptables.syncPeriod),
            ("nftables.syncPeriod", nftables.syncPeriod), ("ipvs.syncPeriod", ipvs.syncPeriod),
            ("configSyncPeriod", configSyncPeriod),
        ] { check(span.seconds > 0, field, "\(span) is not more than 0s") }
        for (field, span) in [
            ("ipvs.tcpTimeout", ipvs.tcpTimeout), ("ipvs.tcpFinTimeout", ipvs.tcpFinTimeout),
            ("ipvs.udpTimeout", ipvs.udpTimeout), ("conntrack.udpTimeout", conntrack.udpTimeout),
            ("conntrack.udpStreamTimeout", conntrack.udpStreamTimeout),
            ("conntrack.tcpEstablishedTimeout", conntrack.tcpEstablishedTimeout),
            ("conntrack.tcpCloseWaitTimeout", conntrack.tcpCloseWaitTimeout),
            ("needletail.ipvsDrainTimeout", needletail.ipvsDrainTimeout),
            ("ipvs.minSyncPeriod", ipvs.minSyncPeriod),
        ] {
            // The kernel counts in jiffies, in 31 bits.
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
            "\"\(detectLocalMode)\" is none of \(modes.dropFirst().joined(separator: ", "))"
        )
        for (mode, field, name) in [
            ("BridgeInterface", "detectLocal.bridgeInterface", detectLocal.bridgeInterface),
            (
                "InterfaceNamePrefix", "detectLocal.interfaceNamePrefix",
                detectLocal.interfaceNamePrefix
            ),
        ] where detectLocalMode == mode {
            check(!name.isEmpty, field, "is needed for detectLocalMode \(mode)")
            // A name as the kernel has it: 1 to 15 bytes without blanks and slashes.
            check(
                name.utf8.count <= 15 && !name.contains { " /\"*".contains($0) },
                field,
                "\"\(name)\" cannot be the name of an interface"
            )
        }
    }

    private static func isAddressWithPort(_ text: String) -> Bool {
        guard let colon = text.lastIndex(of: ":"),
            UInt16(text[text.index(after: colon)...]) != nil
        else { return false }
        let host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            return IPAddress(String(host.dropFirst().dropLast())) != nil
        }
        return !host.contains(":") && IPAddress(String(host)) != nil
    }
}

extension String {
    /// The parts between commas, without blanks around them; none of an empty text.
    package var commaSeparated: [String] {
        guard !isEmpty else { return [] }
        return split(separator: ",", omittingEmptySubsequences: false).map { part in
            String(
                part.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed()
            )
        }
    }
}
