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
    /// The same, each with the chain for its timeout.
    case stickyTimeouts
    /// Bucket of clients and frontend to endpoint; written by the rules.
    case affinity
    /// Frontends whose every client is masqueraded.
    case masqueradeFrontends
    case clusterIPs
    /// Frontends on addresses that are not the node's, whose packets IPVS must see all the same.
    case externalFrontends
    /// Those that are gone, with the endpoints that still have connections to them.
    case draining
    /// What IPVS has left when nftables takes over from it: client and frontend, each with its port.
    case inherited
    /// Frontends that refuse, and frontends that stay silent, if no endpoint was chosen.
    case noEndpoints
    case noLocalEndpoints
    /// Frontends with loadBalancerSourceRanges.
    case restricted
    /// Those of them with the blocks that may use them, of so many leading bits.
    case allowedSources(length: UInt32)
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
            case .localEndpoints: variant.role == .balancer
            case .externalFrontends, .draining: variant.role == .policy
            case .inherited: variant.inherits
            default: true
            }
        }
    }

    private static let constant: [SetID] = [
        .frontends, .endpoints, .localEndpoints, .localPolicy, .sticky, .stickyTimeouts, .affinity,
        .masqueradeFrontends, .clusterIPs, .externalFrontends, .draining, .inherited,
        .noEndpoints, .noLocalEndpoints, .restricted, .hairpin, .serviceEndpoints, .formerEndpoints,
        .podCIDRs, .serviceCIDRs,
    ]

    private static let allowedSourcesPrefix = "allowed-sources-"

    /// The length of blocks in the name of a set `allowedSources`.
    package static func sourceLength(_ name: String) -> UInt32? {
        guard name.hasPrefix(allowedSourcesPrefix) else { return nil }
        let length = UInt32(name.dropFirst(allowedSourcesPrefix.count))
        return length.flatMap { Self.allowedSources(length: $0).name == name ? $0 : nil }
    }

    package var name: String {
        switch self {
        case .frontends: "frontends"
        case .endpoints: "endpoints"
        case .localEndpoints: "local-endpoints"
        case .localPolicy: "local-policy"
        case .sticky: "sticky"
        case .stickyTimeouts: "sticky-timeouts"
        case .affinity: "affinity"
        case .masqueradeFrontends: "masquerade-frontends"
        case .clusterIPs: "cluster-ips"
        case .externalFrontends: "external-frontends"
        case .draining: "draining"
        case .inherited: "ipvs-connections"
        case .noEndpoints: "no-endpoints"
        case .noLocalEndpoints: "no-local-endpoints"
        case .restricted: "restricted"
        case .allowedSources(let length): "\(Self.allowedSourcesPrefix)\(length)"
        case .hairpin: "hairpin"
        case .serviceEndpoints: "service-endpoints"
        case .formerEndpoints: "former-endpoints"
        case .podCIDRs: "pod-cidrs"
        case .serviceCIDRs: "service-cidrs"
        }
    }
}
