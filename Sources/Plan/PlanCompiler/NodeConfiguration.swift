package import KubernetesModel
package import NetworkTypes
package import ServicePlan

/// The operator's settings for the node, from flags and configuration.
package struct NodeConfiguration: Sendable, Hashable {
    /// The source of the blocks for `LocalDetection.podCIDRs`.
    package enum PodCIDRs: Sendable, Hashable {
        /// The blocks of `--cluster-cidr`, for the pods of the whole cluster.
        case cluster([IPPrefix])
        /// The blocks in `spec.podCIDRs` of the Node, for the pods of this node.
        case node
    }

    package var nodeName: String
    /// The addresses of `--node-ip`; empty to use those of the Node object.
    package var nodeIPs: [IPAddress] = []
    /// The address of `--bind-address`, primary in its family; nil if not set.
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
    /// The TCP ports of the node that no external IP or load balancer VIP may take, and their
    /// users.
    package var protectedPorts: [UInt16: String] = [22: "ssh", 10250: "the kubelet"]

    package init(nodeName: String) { self.nodeName = nodeName }

    /// Whether frontends or masquerading need facts that only the Node object has.
    package var needsNode: Bool { nodeIPs.isEmpty && bindAddress == nil || podCIDRs == .node }

    /// Whether a change of the interfaces' addresses matters.
    package var followsInterfaces: Bool { !nodePortAddresses.blocks.isEmpty }

    /// Returns the compiler's view of the node, from configuration and observation.
    ///
    /// - Parameter apiServers: the addresses and ports at which the API servers are reached
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

    /// Returns the facts about the node that a backend needs.
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
