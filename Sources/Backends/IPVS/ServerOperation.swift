package import NetworkTypes

/// A request to IPVS.
package enum ServerOperation: Sendable, Hashable {
    /// Adds a virtual server without its destinations, which are added one by one.
    case add(VirtualServer)
    case set(VirtualServer)
    case remove(FrontendKey)
    case addDestination(Destination, to: FrontendKey)
    case setDestination(Destination, of: FrontendKey)
    case removeDestination(Destination.ID, of: FrontendKey)

    /// Whether the operation removes a whole server.
    package var isRemoval: Bool { if case .remove = self { true } else { false } }

    package var key: FrontendKey {
        switch self {
        case .add(let server), .set(let server): server.key
        case .remove(let key): key
        case .addDestination(_, let key), .setDestination(_, let key),
            .removeDestination(_, let key):
            key
        }
    }
}

extension ServerOperation: CustomStringConvertible {
    package var description: String {
        switch self {
        case .add(let server): "adding virtual server \(server.key) (\(server.scheduler))"
        case .set(let server): "changing virtual server \(server.key) (\(server.scheduler))"
        case .remove(let key): "removing virtual server \(key)"
        case .addDestination(let destination, let key):
            "adding destination \(destination.id) to virtual server \(key)"
        case .setDestination(let destination, let key):
            "giving destination \(destination.id) of virtual server \(key) weight"
                + " \(destination.weight)"
        case .removeDestination(let id, let key):
            "removing destination \(id) of virtual server \(key)"
        }
    }
}

extension VirtualServer {
    /// Returns the operations that create the server with its destinations.
    func creation(_ defaults: BalancingDefaults) -> [ServerOperation] {
        let additions = destinations.map { ServerOperation.addDestination($0, to: key) }
        // Maglev rebuilds its table of all destinations for each one that is added
        // (net/netfilter/ipvs/ip_vs_mh.c: ip_vs_mh_dest_changed), so the server becomes a Maglev
        // server last.
        guard scheduler == "mh" else { return [.add(attributes)] + additions }
        var plain = attributes
        (plain.scheduler, plain.flags) = (defaults.plainScheduler, .ours)
        return [.add(plain)] + additions + [.set(attributes)]
    }
}
