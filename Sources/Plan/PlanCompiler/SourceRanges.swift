internal import KubernetesModel
internal import NetworkTypes
internal import ServicePlan

/// The clients that may use a frontend.
struct Admission {
    /// Nil: all but those in `denied`.
    var allowed: [IPPrefix]?
    var denied: [IPPrefix] = []
    var cutsRefused = false

    static let all = Admission()
}

/// The clients that may use the frontends of one Service.
struct SourceRanges {
    private let loadBalancerRanges: [IPPrefix]?
    private let annotated: ClientRanges
    private let nodeAddresses: [IPAddress]
    /// The results by address, since a Service may have many ports.
    private var known: [Place: Admission] = [:]

    private struct Place: Hashable {
        let address: IPAddress
        let isLoadBalancer: Bool
    }

    init(of service: Service, node: NodeView) {
        loadBalancerRanges = service.loadBalancerSourceRanges
        annotated = service.clientRanges
        nodeAddresses = node.primaryAddresses
    }

    /// Returns the clients that may use an address of this kind.
    ///
    /// `spec.loadBalancerSourceRanges` hold for load balancer VIPs; the annotations hold for
    /// everything but cluster IPs. Where both are given, a client must be in both.
    mutating func admission(at address: IPAddress, _ kind: Frontend.Kind) -> Admission {
        let isLoadBalancer = kind == .loadBalancerVIP
        guard kind != .clusterIP, annotated.isGiven || isLoadBalancer && loadBalancerRanges != nil
        else { return .all }
        let place = Place(address: address, isLoadBalancer: isLoadBalancer)
        if let known = known[place] { return known }
        var result = Admission(allowed: isLoadBalancer ? allowedByLoadBalancer(at: address) : nil)
        if annotated.isGiven { restrict(&result, at: address) }
        known[place] = result
        return result
    }

    /// Returns the sources that `spec.loadBalancerSourceRanges` admit; nil if all are.
    ///
    /// If all ranges are of the other family, nobody is restricted, as in kube-proxy. If none of
    /// the ranges could be read, nobody is admitted, because a restriction was requested. A node
    /// inside the ranges may reach a VIP that is bound to the node itself; the VIP is a permitted
    /// source then (`serviceport.go` and `nftables/proxier.go`, allowFromNode).
    private func allowedByLoadBalancer(at vip: IPAddress) -> [IPPrefix]? {
        guard let ranges = loadBalancerRanges else { return nil }
        guard !ranges.isEmpty else { return [] }
        let own = ranges.filter { $0.family == vip.family }
        return own.isEmpty ? nil : allowed(own, at: vip)
    }

    /// Returns these blocks, and the address itself if the node is in them; nil if they hold every
    /// address.
    private func allowed(_ blocks: [IPPrefix], at address: IPAddress) -> [IPPrefix]? {
        guard !blocks.contains(where: { $0.length == 0 }) else { return nil }
        return IPPrefix.aggregated(isNode(in: blocks) ? blocks + [IPPrefix(host: address)] : blocks)
    }

    private func isNode(in blocks: [IPPrefix]) -> Bool {
        nodeAddresses.contains { address in blocks.contains { $0.contains(address) } }
    }

    /// Applies the annotations.
    ///
    /// A list that was given but says nothing about the address's family admits nobody there if it
    /// is of those who may, and so does a list of either kind of which nothing could be read.
    private func restrict(_ result: inout Admission, at address: IPAddress) {
        let own = { (blocks: [IPPrefix]) in blocks.filter { $0.family == address.family } }
        if let blocks = annotated.allowed, let more = allowed(own(blocks), at: address) {
            result.allowed = result.allowed.map { IPPrefix.intersection($0, more) } ?? more
        }
        if let blocks = annotated.denied {
            let denied = own(blocks)
            result.denied = IPPrefix.aggregated(
                isNode(in: denied) ? denied + [IPPrefix(host: address)] : denied
            )
            if blocks.isEmpty || denied.contains(where: { $0.length == 0 }) { result.allowed = [] }
        }
        if result.allowed?.isEmpty == true { result.denied = [] }
        result.cutsRefused = result.allowed != nil || !result.denied.isEmpty
    }
}

extension Frontend {
    /// Admits only clients that another frontend with the same key admits as well.
    mutating func restrict(as other: Frontend) {
        if let more = other.allowedSources {
            allowedSources = allowedSources.map { IPPrefix.intersection($0, more) } ?? more
        }
        deniedSources =
            allowedSources?.isEmpty == true
            ? [] : IPPrefix.aggregated(deniedSources + other.deniedSources)
        cutsRefused = cutsRefused || other.cutsRefused
    }
}
