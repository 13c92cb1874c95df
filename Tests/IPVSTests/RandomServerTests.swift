@testable import IPVS
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Virtual servers of plans of all shapes.
@Suite struct RandomServerTests {
    /// What a frontend's server sends its external clients to; nil: there is no server.
    private func destinations(_ frontend: Frontend, _ plan: ServicePlan) -> Set<Destination.ID>? {
        let pool: Pool?
        switch frontend.action {
        case .balance(let index): pool = plan.pools[index]
        case .split(_, let local): pool = local.map { plan.pools[$0] }
        case .reject, .drop: pool = nil
        }
        return pool.map { Set($0.endpoints.map(\.place)) }
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `a frontend has a server if somebody serves it, with exactly those who do`(seed: UInt64) {
        var random = RandomPlans(seed: seed)
        for index in 0..<20 {
            let plan = random.plan(index)
            let servers = Dictionary(
                uniqueKeysWithValues: plan.virtualServers(BalancingDefaults()).map { ($0.key, $0) }
            )
            for frontend in plan.frontends {
                let server = servers[frontend.key]
                let wanted = destinations(frontend, plan)
                #expect(server.map { Set($0.destinations.map(\.id)) } == wanted)
                guard let server else { continue }
                #expect(server.persistence == frontend.affinityTimeout)
                #expect(server.flags == .ours && server.scheduler == "rr")
                #expect(server.destinations.map(\.id) == server.destinations.map(\.id).sorted())
                #expect(server.destinations.allSatisfy { $0.weight == 1 })
            }
            #expect(servers.count == plan.frontends.count { destinations($0, plan) != nil })
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `what a kernel refuses is missing, and nothing else`(seed: UInt64) {
        var random = RandomPlans(seed: seed)
        let plans = random.cluster(12)
        var defaults = BalancingDefaults()
        let all = plans.flatMap { $0.virtualServers(defaults) }
        defaults.refusals.servers = Set(
            all.map(\.key).filter { _ in Int.random(in: 0..<4, using: &random.random) == 0 }
        )
        defaults.refusals.destinations = Set(
            all.flatMap(\.destinations).map(\.address).filter { _ in
                Int.random(in: 0..<4, using: &random.random) == 0
            }
        )
        let expected = all.filter { !defaults.refusals.servers.contains($0.key) }.map { server in
            var server = server
            server.destinations.removeAll {
                defaults.refusals.destinations.contains($0.address)
            }
            return server
        }
        #expect(
            IPVSText.lines(plans.flatMap { $0.virtualServers(defaults) })
                == IPVSText.lines(expected)
        )
        // A table with these refusals asks the kernel for nothing that it has refused.
        var table = ServerTable(defaults, drainTimeout: 900)
        var kernel = FakeIPVS()
        kernel.perform(
            table.apply(plans.map { PlanChange($0.service, old: nil, new: $0) }, now: 0)
        )
        #expect(IPVSText.lines(kernel.dump) == IPVSText.lines(expected))
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `only cluster IPs become addresses of the node`(seed: UInt64) {
        var random = RandomPlans(seed: seed)
        let plans = random.cluster(12)
        let (table, _) = ServerTable.adopting(
            [],
            plans: plans,
            BalancingDefaults(),
            drainTimeout: 900,
            now: 0
        )
        let wanted = plans.flatMap(\.frontends).filter { $0.kind == .clusterIP }.map(\.key.address)
        #expect(table.addresses == Set(wanted))
        for address in plans.flatMap(\.frontends).map(\.key.address) {
            #expect(table.needs(address) == wanted.contains(address))
        }
        #expect(Set(table.services.map(\.key)) == table.served)
    }
}
