package import KubernetesModel
package import NetworkTypes
package import ServicePlan

/// What an operator says of the node (flags and configuration).
package struct NodeConfiguration: Sendable, Hashable {
    /// Where the blocks of `LocalDetection.podCIDRs` come from.
    package enum PodCIDRs: Sendable, Hashable {
        /// `--cluster-cidr`: the pods of the whole cluster.
        case cluster([IPPrefix])
        /// `spec.podCIDRs` of the Node: this node's pods.
        case node
    }

    package var nodeName: String
    /// `--node-ip`; empty: the addresses of the Node object.
    package var nodeIPs: [IPAddress] = []
    /// `--bind-address`: the primary address of its family; nil: not set.
    package var bindAddress: IPAddress?
    package var nodePortAddresses = NodePortAddresses(["primary"])
    package var masqueradesAll = false
    package var localDetection = LocalDetection.podCIDRs
    package var podCIDRs = PodCIDRs.cluster([])
    /// How many endpoints of a pool the mode can balance over; nil: all.
    package var largestPool: Int? = Pool.largestSize
    package var countsConnections = false
    package var allowsExternalIPs = true
    /// Whether external IPs may be the node's own addresses.
    package var allowsNodeAddresses = false
    /// TCP ports of the node that no external IP or load balancer VIP may take, and what they serve.
    package var protectedPorts: [UInt16: String] = [22: "ssh", 10250: "the kubelet"]

    package init(nodeName: String) { self.nodeName = nodeName }

    /// Whether frontends or masquerading want what only the Node object says.
    package var needsNode: Bool { nodeIPs.isEmpty && bindAddress == nil || podCIDRs == .node }

    /// Whether a change of the interfaces' addresses matters.
    package var followsInterfaces: Bool { !nodePortAddresses.blocks.isEmpty }

    /// What the compiler needs to know, from configuration and observation.
    ///
    /// - Parameter apiServers: by which the API servers are reached
    package func view(
        node: Node?,
        interfaceAddresses: [IPAddress],
        apiServers: Set<FrontendKey> = []
    ) -> NodeView {
        let known =
            (bindAddress.map { [$0] } ?? []) + (nodeIPs.isEmpty ? node?.addresses ?? [] : nodeIPs)
        let primary = IPFamily.allCases.compactMap { family in known.first { $0.family == family } }
        var answering = nodePortAddresses.includesPrimary ? primary : []
        // A loopback address cannot be translated to an endpoint elsewhere without
        // route_localnet, which exposes the node (CVE-2020-8558).
        answering += interfaceAddresses.filter { address in
            address.reasonNotForServices == nil && !answering.contains(address)
                && nodePortAddresses.blocks.contains { $0.contains(address) }
        }
        var view = NodeView(
            name: nodeName,
            zone: node?.zone,
            nodePortAddresses: answering,
            primaryAddresses: primary,
            masqueradesAll: masqueradesAll,
            allowsExternalIPs: allowsExternalIPs
        )
        view.ownAddresses = Set(known + (node?.addresses ?? []))
        view.addresses = view.ownAddresses.union(interfaceAddresses)
        view.allowsNodeAddresses = allowsNodeAddresses
        view.protectedPorts = protectedPorts
        view.apiServers = apiServers
        view.largestPool = largestPool
        view.localhostAddresses = nodePortAddresses.localhost.sorted().map { .loopback($0) }
        return view
    }

    /// What a backend needs to know.
    package func facts(node: Node?, serviceCIDRs: [IPPrefix]) -> NodeFacts {
        let blocks =
            switch podCIDRs {
            case .cluster(let blocks): blocks
            case .node: node?.podCIDRs ?? []
            }
        return NodeFacts(
            serviceCIDRs: serviceCIDRs,
            podCIDRs: localDetection == .podCIDRs ? blocks : [],
            localDetection: localDetection,
            countsConnections: countsConnections
        )
    }
}
