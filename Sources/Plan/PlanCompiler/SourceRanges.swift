internal import KubernetesModel
internal import NetworkTypes

/// The sources that may use the load balancer VIPs of one Service.
struct SourceRanges {
    private let ranges: [IPPrefix]?
    private let nodeAddresses: [IPAddress]
    /// The results by VIP, since a Service may have many ports.
    private var known: [IPAddress: [IPPrefix]?] = [:]

    init(of service: Service, node: NodeView) {
        ranges = service.loadBalancerSourceRanges
        nodeAddresses = node.primaryAddresses
    }

    /// Returns the sources that may use a VIP; nil if all may.
    ///
    /// If all ranges are of the other family, nobody is restricted, as in kube-proxy. If none of
    /// the ranges could be read, nobody is admitted, because a restriction was requested. A node
    /// inside the ranges may reach a VIP that is bound to the node itself; the VIP is a permitted
    /// source then (`serviceport.go` and `nftables/proxier.go`, allowFromNode).
    mutating func allowed(at vip: IPAddress) -> [IPPrefix]? {
        guard let ranges else { return nil }
        guard !ranges.isEmpty else { return [] }
        if let known = known[vip] { return known }
        let own = ranges.filter { $0.family == vip.family }
        guard !own.isEmpty, !own.contains(where: { $0.length == 0 }) else {
            known[vip] = .some(nil)
            return nil
        }
        let isNodeAllowed = nodeAddresses.contains { address in
            own.contains { $0.contains(address) }
        }
        let all = IPPrefix.aggregated(isNodeAllowed ? own + [IPPrefix(host: vip)] : own)
        known[vip] = all
        return all
    }
}
