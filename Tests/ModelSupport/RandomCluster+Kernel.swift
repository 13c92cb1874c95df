import ModelKernel
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport

/// What is in the node's kernel beside what the plans put there.
extension RandomCluster {
    /// Enters some clients into the map `affinity`, as the rules have done for earlier packets.
    mutating func rememberClients() throws {
        let plans = plans.values.sorted { $0.service < $1.service }
        for (plan, frontend) in plans.flatMap({ plan in plan.frontends.map { (plan, $0) } })
        where frontend.affinityTimeout != nil && frontend.key.address.family == family {
            guard inputs.remembersClients, let pool = plan.pools(of: frontend).cluster else {
                continue
            }
            for _ in 0..<3 {
                let client =
                    chance(3)
                    ? nodeAddress : address(family, 2, Int.random(in: 0..<60, using: &random))
                guard let endpoint = pool.endpoints.randomElement(using: &random) else { continue }
                let key = ClientBucket.key(ClientBucket.of(client), frontend.key).bytes
                let data = ElementBytes(endpoint.address, port: endpoint.port).bytes
                try kernel.setElement(
                    key,
                    Ruleset.Element(.data(data)),
                    in: SetID.affinity.name,
                    of: Ruleset.TableID(family)
                )
                remembered[key] = endpoint
                stickyClients.append((client, frontend))
            }
        }
    }

    /// Another program's table, which wants some frontends and some ports of nobody's.
    mutating func addHostPorts() throws {
        // Where needletail drops what comes, another program's translation tells most.
        var keys = frontends.filter { chance($0.action == .drop ? 2 : 4) }.map(\.key)
        keys += frontends.filter { $0.kind != .clusterIP && chance(4) }.map {
            FrontendKey($0.key.address, $0.key.transport, 22)
        }
        keys.append(FrontendKey(nodeAddress, .tcp, 22))
        for key in keys {
            let host = Int.random(in: 0..<90, using: &random)
            hostPorts[key] = Endpoint(address(family, 8, host), 5000, isLocal: true)
        }
        let table = Ruleset.TableID(Ruleset.Family(family), "hostports")
        try kernel.addTable(table)
        let ports = portMap
        try kernel.tamper(with: table) { $0.sets["ports"] = ports }
        for hook in [BaseChain.Hook.prerouting, .output] {
            let base = Ruleset.Base(.nat, hook, -100)
            try kernel.addChain("\(hook)", base: base, to: table)
            try kernel.addRule(translation, to: "\(hook)", of: table)
        }
    }

    private var portMap: Ruleset.ElementSet {
        var shape = SetShape(name: "ports")
        shape.flags = SetDefinition.Flag.map
        shape.keyLength = UInt32(PacketField.frontend.registerBytes(family))
        shape.dataLength = UInt32(PacketField.endpoint.registerBytes(family))
        var map = Ruleset.ElementSet(shape)
        for (key, endpoint) in hostPorts {
            let data = ElementBytes(endpoint.address, port: endpoint.port).bytes
            map.elements[ElementBytes(key).bytes] = Ruleset.Element(.data(data))
        }
        return map
    }

    /// A rule like `dnat to ip daddr . meta l4proto . th dport map @ports`.
    private var translation: [KernelExpression] {
        Rule(.dnat(PacketField.frontend, map: .endpoints)).expressions(family).map { expression in
            guard case .lookup(_, let register, let destination, let negated) = expression else {
                return expression
            }
            return .lookup("ports", register: register, into: destination, negated: negated)
        }
    }
}
