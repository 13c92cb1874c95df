internal import KubernetesModel
internal import NetworkTypes

/// Who may use the load balancer's VIPs of one Service.
struct SourceRanges {
    private let ranges: [IPPrefix]?
    private let nodeAddresses: [IPAddress]
    /// By the VIP; a Service may have many ports.
    private var known: [IPAddress: [IPPrefix]?] = [:]

    init(of service: Service, node: NodeView) {
        ranges = service.loadBalancerSourceRanges
        nodeAddresses = node.primaryAddresses
    }

    /// The sources that may use a VIP; nil: all.
    ///
    /// Ranges of the other family alone restrict nobody, as in kube-proxy. Ranges of which none
    /// could be read admit nobody: a restriction was asked for. A node inside the ranges may
    /// reach a VIP bound to itself, so the VIP is a source then (`serviceport.go` and
    /// `nftables/proxier.go`, allowFromNode).
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
