internal import NetworkTypes
internal import PlanCompiler
internal import ServicePlan

extension NodeView {
    /// Returns what differs in another view of the node, one text for each fact.
    func changes(to new: NodeView) -> [String] {
        [
            change("zone", zone ?? "none", new.zone ?? "none"),
            setChange("NodePort addresses", nodePortAddresses, new.nodePortAddresses),
            setChange("localhost addresses", localhostAddresses, new.localhostAddresses),
            setChange("primary addresses", primaryAddresses, new.primaryAddresses),
            setChange("addresses", addresses, new.addresses),
            setChange("API servers", apiServers, new.apiServers),
            change("masquerade-all", masqueradesAll, new.masqueradesAll),
            change("external IPs allowed", allowsExternalIPs, new.allowsExternalIPs),
            change("node addresses as external IPs", allowsNodeAddresses, new.allowsNodeAddresses),
        ].compactMap(\.self)
    }
}

extension NodeFacts {
    /// Returns what differs in other facts, one text for each of them.
    func changes(to new: NodeFacts) -> [String] {
        var texts = [
            setChange("ServiceCIDRs", serviceCIDRs, new.serviceCIDRs),
            setChange("pod CIDRs", podCIDRs, new.podCIDRs),
            change("connections counted", countsConnections, new.countsConnections),
        ].compactMap(\.self)
        for family in IPFamily.allCases where localDetection(family) != new.localDetection(family) {
            texts.append("recognition of \(family) pods")
        }
        return texts
    }
}

private func change<Value: Equatable>(_ name: String, _ old: Value, _ new: Value) -> String? {
    old == new ? nil : "\(name) \(old) -> \(new)"
}

/// Returns what came and went, such as `pod CIDRs +10.1.0.0/16 -10.2.0.0/16`.
private func setChange<Value: Hashable & Comparable>(
    _ name: String,
    _ old: some Collection<Value>,
    _ new: some Collection<Value>
) -> String? {
    let (before, after) = (Set(old), Set(new))
    guard before != after else { return nil }
    let words =
        after.subtracting(before).sorted().map { "+\($0)" }
        + before.subtracting(after).sorted().map { "-\($0)" }
    let shown = words.prefix(16).joined(separator: " ")
    return "\(name) \(shown)" + (words.count > 16 ? " and \(words.count - 16) more" : "")
}
