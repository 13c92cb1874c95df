internal import ServicePlan

/// The sets and maps of a needletail table.
package enum SetID: Sendable, Hashable {
    /// All frontends; an element's comment is the Service port's name.
    case frontends
    /// Maps a frontend and a slot to an endpoint.
    case endpoints
    /// Maps a frontend in `localPolicy` and a slot to the endpoint for external clients.
    case localEndpoints
    /// Frontends with external traffic policy Local.
    case localPolicy
    /// Frontends with ClientIP affinity.
    case sticky
    /// Maps each frontend with ClientIP affinity to the chain for its timeout.
    case stickyTimeouts
    /// Maps a bucket of clients and a frontend to an endpoint; the rules add the entries.
    case affinity
    /// Frontends all of whose clients are masqueraded.
    case masqueradeFrontends
    case clusterIPs
    /// Frontends at addresses that are not the node's, whose packets are steered to IPVS.
    case externalFrontends
    /// Former external frontends, each with an endpoint that still has connections.
    case draining
    /// Connections that IPVS keeps while nftables takes over: addresses and ports of client and
    /// frontend.
    case inherited
    /// Frontends that refuse connections, since there is no endpoint.
    case noEndpoints
    /// Frontends that drop the packets for which no endpoint was chosen, since none is local.
    case noLocalEndpoints
    /// Frontends with loadBalancerSourceRanges.
    case restricted
    /// Frontends in `restricted`, each with a block that may use it; one set for each prefix
    /// length.
    case allowedSources(length: UInt32)
    /// Addresses of local endpoints, each paired with itself.
    case hairpin
    /// The address, protocol and port of every endpoint, including terminating ones.
    case serviceEndpoints
    /// Endpoints that were removed in the last ten minutes; the kernel forgets them by itself.
    case formerEndpoints
    case podCIDRs
    case serviceCIDRs

    /// Returns the sets that exist whatever the Services are.
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

    /// Returns the prefix length in the name of a set `allowedSources`; nil for other names.
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
