internal import KubernetesModel
internal import NetworkTypes

/// Chooses the Services on which an explanation depends: those that are wanted, and their rivals.
struct ServiceChoice: Sendable {
    let wanted: Wanted
    /// The node's own, at which it has NodePorts.
    let nodeAddresses: Set<IPAddress>

    /// Whether a Service is wanted, or may have the wanted frontend.
    func isWanted(_ service: Service) -> Bool {
        switch wanted {
        case .service(let name): return service.name.description == name
        case .frontend(let address, let port, _):
            if service.addresses.contains(address) { return true }
            guard nodeAddresses.contains(address) || address.isLoopback else { return false }
            let nodePorts = service.nodePorts
            return port.map(nodePorts.contains) ?? !nodePorts.isEmpty
        }
    }

    /// Returns those that are wanted, and those that may claim one of their frontends.
    func names(among all: some Collection<Service>) -> Set<ObjectName> {
        let contest = contest(all.filter(isWanted))
        return Set(all.lazy.filter(contest.includes).map(\.name))
    }

    /// What several Services may claim.
    struct Contest: Sendable {
        fileprivate var names: Set<ObjectName> = []
        fileprivate var addresses: Set<IPAddress> = []
        fileprivate var ports: Set<UInt16> = []
        fileprivate let nodeAddresses: Set<IPAddress>

        func includes(_ service: Service) -> Bool {
            if names.contains(service.name) || service.addresses.contains(where: addresses.contains)
                || service.nodePorts.contains(where: ports.contains)
            {
                return true
            }
            return service.externalAddresses.contains(where: nodeAddresses.contains)
                && service.ports.contains { ports.contains($0.port) }
        }
    }

    func contest(_ chosen: [Service]) -> Contest {
        var contest = Contest(nodeAddresses: nodeAddresses)
        for service in chosen {
            contest.names.insert(service.name)
            contest.addresses.formUnion(service.addresses)
            contest.ports.formUnion(service.nodePorts)
            if service.externalAddresses.contains(where: nodeAddresses.contains) {
                contest.ports.formUnion(service.ports.map(\.port))
            }
        }
        return contest
    }
}

extension Service {
    /// Those that nobody allots.
    var externalAddresses: [IPAddress] { externalIPs + loadBalancerVIPs }

    fileprivate var addresses: [IPAddress] { clusterIPs + externalAddresses }

    fileprivate var nodePorts: [UInt16] {
        ports.compactMap(\.nodePort) + (healthCheckNodePort.map { [$0] } ?? [])
    }
}
