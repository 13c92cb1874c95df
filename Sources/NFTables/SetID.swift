internal import ServicePlan

/// The sets and maps of a needletail table.
package enum SetID: Sendable, Hashable {
    /// Everything a client can address; the comment is the Service port's name.
    case frontends
    /// Frontend and slot to endpoint.
    case endpoints
    /// The same for external clients of frontends in `localPolicy`.
    case localEndpoints
    /// Frontends with external traffic policy Local.
    case localPolicy
    /// Frontends with ClientIP affinity.
    case sticky
    /// Those of them that have this timeout, in seconds.
    case stickyTimeout(UInt32)
    /// Client and frontend to endpoint; written by the rules.
    case affinity
    /// Frontends whose every client is masqueraded.
    case masqueradeFrontends
    case clusterIPs
    /// Frontends on addresses that are not the node's, whose packets IPVS must see all the same.
    case externalFrontends
    /// Those that are gone, with the endpoints that still have connections to them.
    case draining
    /// What IPVS has left when nftables takes over from it: client and frontend, each with its port.
    case ipvsConnections
    /// Frontends that refuse, and frontends that stay silent, if no endpoint was chosen.
    case noEndpoints
    case noLocalEndpoints
    /// Frontends with loadBalancerSourceRanges, and who may use them.
    case restricted
    case allowedSources
    /// Local endpoints, each paired with itself.
    case hairpin
    /// Address and port of every endpoint, those that are terminating among them.
    case serviceEndpoints
    /// Those that were one a short while ago; the kernel forgets them by itself.
    case formerEndpoints
    case podCIDRs
    case serviceCIDRs

    /// Every set that is there whatever the Services are.
    package static func constant(_ variant: Program.Variant) -> [SetID] {
        constant.filter { id in
            switch id {
            case .localEndpoints: variant.balancer == .nftables
            case .externalFrontends, .draining: variant.balancer == .ipvs
            case .ipvsConnections: variant.followsIPVS
            default: true
            }
        }
    }

    private static let constant: [SetID] = [
        .frontends, .endpoints, .localEndpoints, .localPolicy, .sticky, .affinity,
        .masqueradeFrontends, .clusterIPs, .externalFrontends, .draining, .ipvsConnections,
        .noEndpoints, .noLocalEndpoints, .restricted, .allowedSources, .hairpin, .serviceEndpoints,
        .formerEndpoints, .podCIDRs, .serviceCIDRs,
    ]

    package var name: String {
        switch self {
        case .frontends: "frontends"
        case .endpoints: "endpoints"
        case .localEndpoints: "local-endpoints"
        case .localPolicy: "local-policy"
        case .sticky: "sticky"
        case .stickyTimeout(let seconds): "sticky-\(seconds)"
        case .affinity: "affinity"
        case .masqueradeFrontends: "masquerade-frontends"
        case .clusterIPs: "cluster-ips"
        case .externalFrontends: "external-frontends"
        case .draining: "draining"
        case .ipvsConnections: "ipvs-connections"
        case .noEndpoints: "no-endpoints"
        case .noLocalEndpoints: "no-local-endpoints"
        case .restricted: "restricted"
        case .allowedSources: "allowed-sources"
        case .hairpin: "hairpin"
        case .serviceEndpoints: "service-endpoints"
        case .formerEndpoints: "former-endpoints"
        case .podCIDRs: "pod-cidrs"
        case .serviceCIDRs: "service-cidrs"
        }
    }

    package init?(name: String) {
        if let id = Self.constant.first(where: { $0.name == name }) {
            self = id
        } else if name.hasPrefix("sticky-"), let seconds = UInt32(name.dropFirst(7)) {
            self = .stickyTimeout(seconds)
        } else {
            return nil
        }
    }
}
