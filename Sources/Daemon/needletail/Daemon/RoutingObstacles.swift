internal import Netlink
internal import NetworkTypes
internal import Observability

/// Looks for ways of packets that a Service proxy cannot work with: past the node, or back by another
/// interface than they came.
struct RoutingObstacles {
    let interfaces: Interfaces
    /// The addresses in the status of the Node.
    let nodeAddresses: [IPAddress]

    /// Finds pods of this node that are on the node's own network, so that what they send and answer
    /// does not pass the node.
    ///
    /// A node sees such a pod beyond an interface of its own: the one with its address, or a MACVLAN
    /// or IPVLAN device. Bridges are left out: `br_netfilter` shows their packets to the rules.
    ///
    /// - Parameter pods: addresses of endpoints on this node
    func bypasses(_ pods: [IPAddress]) throws(NetlinkError) -> [ForwardingObstacle] {
        var lookup = try RouteLookup()
        var found: [String: [IPAddress]] = [:]
        for pod in pods {
            guard let route = try lookup.route(RouteQuestion(to: pod)), !route.isLocal,
                !route.hasGateway, let interface = route.interface.flatMap({ interfaces[$0] }),
                isShared(interface)
            else { continue }
            found[interface.name, default: []].append(pod)
        }
        return found.sorted { $0.key < $1.key }
            .map { ForwardingObstacle(pods: $0.value.sorted(), onNetworkOf: $0.key) }
    }

    private func isShared(_ interface: Interfaces.Interface) -> Bool {
        switch interface.kind {
        case "bridge": false
        case "macvlan", "ipvlan": true
        default: !Set(interface.addresses).isDisjoint(with: nodeAddresses)
        }
    }

    /// Finds addresses of the Node at which clients from elsewhere are dropped by a strict reverse
    /// path filter: the way back to them leaves by another interface.
    func strictFilters() throws(NetlinkError) -> [ForwardingObstacle] {
        var lookup = try RouteLookup()
        var found: [ForwardingObstacle] = []
        // An address of documents (RFC 5737) stands for every client that is not a neighbour.
        guard let client = IPAddress("203.0.113.77"),
            let back = try lookup.route(RouteQuestion(to: client))?.interface
        else { return [] }
        for interface in interfaces.all where interface.name != back {
            guard
                let address = interface.addresses.first(where: {
                    $0.family == .ipv4 && nodeAddresses.contains($0)
                }),
                isStrict(interface.name)
            else { continue }
            var question = RouteQuestion(to: address)
            question.source = client
            question.inputInterface = interface.name
            guard try lookup.route(question) == nil else { continue }
            found.append(
                ForwardingObstacle(strictFilterOn: interface.name, at: address, wayBack: back)
            )
        }
        return found
    }

    /// Whether the larger of both sysctls is 1, as the kernel reads them (`IN_DEV_RPFILTER`).
    private func isStrict(_ interface: String) -> Bool {
        ["all", interface].compactMap {
            KernelSettings.read("/proc/sys/net/ipv4/conf/\($0)/rp_filter").flatMap { Int($0) }
        }.max() == 1
    }
}
