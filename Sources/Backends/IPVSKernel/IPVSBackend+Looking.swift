package import Backend
internal import IPVS
internal import ModelKernel
internal import NFTables
internal import NFTablesKernel
internal import Netlink
package import NetworkTypes
package import ServicePlan

/// Reading what the kernel holds, without changing it.
extension IPVSBackend {
    package func difference(
        _ plans: [ServicePlan],
        node: NodeFacts
    ) throws(CommitError) -> [Difference] {
        if retirement?.isOver == true {
            return try policy.difference(plans, inputs(node)).flatMap(\.differences)
        }
        let (servers, draining) = try failing { () throws(NetlinkError) in
            try serverDifference(plans)
        }
        var inputs = lookingInputs(node)
        inputs.draining = draining
        return try policy.difference(plans, inputs).flatMap { $0.withoutInherited.differences }
            + servers
    }

    package func difference(
        for services: [ServicePlan],
        node: NodeFacts
    ) throws(CommitError) -> [Difference] {
        if retirement?.isOver == true {
            return try policy.difference(for: services, inputs(node)).flatMap(\.differences)
        }
        let keys = Set(services.flatMap(\.frontends).map(\.key))
        let addresses = Set(keys.map(\.address))
        let servers = try failing { () throws(NetlinkError) in
            try serverDifference(services, among: keys).0
        }
        .filter { difference in
            switch difference.subject {
            case .everyone, .endpoint: true
            case .frontend(let key): keys.contains(key)
            case .address(let address): addresses.contains(address)
            }
        }
        // Which connections of others are drained or inherited is no part of these Services.
        let inputs = lookingInputs(node)
        return try policy.difference(for: services, inputs).flatMap(\.differences) + servers
    }

    /// The inputs of the tables but for what IPVS drains, and without the connections that it leaves.
    private func lookingInputs(_ node: NodeFacts) -> TableInputs {
        var inputs = TableInputs(node, role: retirement == nil ? .policy : .balancer)
        let leavesConnections = retirement.map { $0.drainTimeout > 0 } ?? false
        inputs.inherited = leavesConnections ? [] : nil
        return inputs
    }

    private func serverDifference(
        _ plans: [ServicePlan],
        among keys: Set<FrontendKey>? = nil
    ) throws(NetlinkError) -> ([Difference], Set<DrainingDestination>) {
        let (table, operations) = try adopted(plans, among: keys)
        let present = try device.addresses()
        let (missing, unneeded) = try differences(
            of: present.union(table.addresses),
            table,
            present
        )
        let addresses = { (verb: Difference.Verb, addresses: Set<IPAddress>) in
            addresses.sorted()
                .map { Difference(verb, "\(VirtualDevice.name) \($0)", of: .address($0)) }
        }
        return (
            operations.map(\.difference) + addresses(.remove, unneeded) + addresses(.add, missing),
            table.drainingDestinations
        )
    }

    /// Evaluates packets by the rules, and what they let through by the virtual servers.
    package func evaluate(_ packets: [FirstPacket]) throws(CommitError) -> [Evaluation] {
        guard retirement?.isOver != true else { return try policy.evaluate(packets) }
        return try policy.evaluate(packets, servers: virtualServers(for: packets))
    }

    package func verify(_ packet: FirstPacket, _ origin: PacketOrigin) -> Verification {
        guard retirement?.isOver != true else {
            return PacketVerification(packet, origin).perform()
        }
        do throws(CommitError) {
            let servers = try virtualServers(for: [packet])
            return PacketVerification(packet, origin, servers: servers).perform()
        } catch {
            return Verification(
                client: nil,
                frontend: packet.frontend,
                .cannotTell(error.description)
            )
        }
    }

    private func virtualServers(
        for packets: [FirstPacket]
    ) throws(CommitError) -> VirtualServers {
        let isUntracked = KernelSettings.read("/proc/sys/net/ipv4/vs/conntrack") == "0"
        let servers = try failing { () throws(NetlinkError) in
            var servers: [FrontendKey: [WeightedEndpoint]] = [:]
            for server in try ipvs.servers(Set(packets.map(\.frontend))) {
                servers[server.key] = try ipvs.destinations(of: server.key).map {
                    WeightedEndpoint(
                        $0.destination.id,
                        weight: $0.destination.weight,
                        isUntracked: isUntracked
                    )
                }
            }
            return servers
        }
        return { packet in
            TransportProtocol(rawValue: packet.transport).flatMap {
                servers[FrontendKey(packet.destination, $0, packet.destinationPort)]
            }
        }
    }

    package func inspect(
        _ frontend: FrontendKey,
        client: IPAddress?
    ) throws(CommitError) -> FrontendInspection {
        let states = try failing { () throws(NetlinkError) in
            try ipvs.destinations(of: frontend)
        }
        return FrontendInspection(
            rememberedEndpoint: try client.flatMap { client throws(CommitError) in
                try policy.rememberedEndpoint(of: client, at: frontend)
            },
            destinations: retirement == nil || !states.isEmpty
                ? states.map(\.inspection).sorted { $0.endpoint < $1.endpoint } : nil
        )
    }
}

extension TableTransaction {
    /// The transaction without the connections that IPVS has, which come and go by themselves.
    fileprivate var withoutInherited: TableTransaction {
        var changes = changes
        (changes.added[.inherited], changes.removed[.inherited]) = (nil, nil)
        return TableTransaction(program: program, changes: changes)
    }
}

extension ServerOperation {
    fileprivate var difference: Difference {
        let (verb, object): (Difference.Verb, String) =
            switch self {
            case .add(let server): (.add, IPVSText.line(server))
            case .set(let server): (.change, IPVSText.line(server))
            case .remove(let key): (.remove, "\(key)")
            case .addDestination(let destination, let key):
                (.add, IPVSText.line(destination, of: key))
            case .setDestination(let destination, let key):
                (.change, IPVSText.line(destination, of: key))
            case .removeDestination(let id, let key): (.remove, "\(key) \(id)")
            }
        return Difference(verb, "ipvs \(object)", of: .frontend(key))
    }
}

extension DestinationState {
    fileprivate var inspection: DestinationInspection {
        DestinationInspection(
            endpoint: destination.id,
            weight: destination.weight,
            activeConnections: connections.active,
            inactiveConnections: connections.inactive,
            connections: statistics.connections,
            bytesIn: statistics.bytesIn,
            bytesOut: statistics.bytesOut
        )
    }
}
