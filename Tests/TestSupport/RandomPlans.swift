internal import NetworkTypes
package import ServicePlan

/// Random plans of all shapes, for property tests.
package struct RandomPlans {
    package var random: Seeded

    package init(seed: UInt64) { random = Seeded(seed) }

    /// Returns plans of Services 0..<count, some of them absent; frontends never conflict.
    package mutating func cluster(_ count: Int) -> [ServicePlan] {
        (0..<count).compactMap { index in chance(4) ? nil : plan(index) }
    }

    package mutating func plan(_ index: Int) -> ServicePlan {
        let family: IPFamily = index % 3 == 0 ? .ipv6 : .ipv4
        var plan = ServicePlan(service: "test/service-\(index)")
        for port in 0..<Int.random(in: 1...3, using: &random) {
            let pool = Pool(endpoints(family))
            plan.pools.append(pool)
            let key = FrontendKey(
                address(family, 0, index),
                chance(3) ? .udp : .tcp,
                UInt16(80 + port)
            )
            plan.frontends.append(
                Frontend(
                    key: key,
                    kind: .clusterIP,
                    portName: "p\(port)",
                    action: action(plan.pools),
                    masquerade: .nonPods,
                    affinityTimeout: chance(3)
                        ? UInt32(60 * Int.random(in: 1...3, using: &random)) : nil
                )
            )
            guard chance(2) else { continue }
            plan.frontends.append(
                Frontend(
                    key: FrontendKey(address(family, 1, index), .tcp, UInt16(80 + port)),
                    kind: .loadBalancerVIP,
                    portName: "p\(port)",
                    action: externalAction(plan.pools),
                    masquerade: chance(2) ? .node : .everyone,
                    allowedSources: chance(2) ? sources(family) : nil
                )
            )
        }
        return plan
    }

    private mutating func action(_ pools: [Pool]) -> Frontend.Action {
        if pools[pools.count - 1].endpoints.isEmpty { return chance(2) ? .reject : .drop }
        return .balance(pool: pools.count - 1)
    }

    private mutating func externalAction(_ pools: [Pool]) -> Frontend.Action {
        guard case .balance(let pool) = action(pools), chance(2) else { return action(pools) }
        return .split(cluster: pool, local: chance(2) ? pool : nil)
    }

    private mutating func endpoints(_ family: IPFamily) -> [Endpoint] {
        // Services share pods, and a few pools exceed the sizes that are balanced exactly.
        let count =
            chance(12)
            ? Int.random(in: 33...70, using: &random) : Int.random(in: 0...6, using: &random)
        let numbers = (0..<90).shuffled(using: &random).prefix(count)
        return numbers.map { Endpoint(address(family, 2, $0), 8080, isLocal: $0 % 3 == 0) }.sorted()
    }

    private mutating func sources(_ family: IPFamily) -> [IPPrefix] {
        let blocks = (0..<Int.random(in: 1...3, using: &random)).compactMap { _ in
            IPPrefix(
                address(family, 3, Int.random(in: 0...5, using: &random)),
                length: Int.random(in: (family == .ipv4 ? 20...32 : 100...128), using: &random)
            )
        }
        return IPPrefix.aggregated(blocks)
    }

    private func address(_ family: IPFamily, _ net: Int, _ host: Int) -> IPAddress {
        family == .ipv4
            ? IPAddress(ipv4: 0x0A00_0001 + UInt32(net) << 16 + UInt32(host))
            : IPAddress(ipv6High: 0xFD00_0000_0000_0000 + UInt64(net), low: UInt64(host + 1))
    }

    private mutating func chance(_ oneIn: Int) -> Bool {
        Int.random(in: 0..<oneIn, using: &random) == 0
    }
}
