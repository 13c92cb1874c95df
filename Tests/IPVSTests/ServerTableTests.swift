@testable import IPVS
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct ServerTableTests {
    private let key = FrontendKey(vip, .tcp, 80)

    // kubernetes/kubernetes#57841, #99162: connections of a removed endpoint were cut.
    @Test func `a removed endpoint keeps its connections until they end`() {
        var (table, kernel) = start(plan([1, 2]))
        kernel.perform(table.apply([("shop/web", plan([1]))], now: 10))
        #expect(kernel.servers[key] == [id(1): 1, id(2): 0])
        #expect(
            table.finishDraining(
                key,
                connections: [id(1): .init(active: 5), id(2): .init(active: 3)],
                now: 20
            ).isEmpty
        )
        kernel.perform(
            table.finishDraining(
                key,
                connections: [id(1): .init(active: 5), id(2): .init(active: 0)],
                now: 30
            )
        )
        #expect(kernel.servers[key] == [id(1): 1])
        #expect(table.drainingServers.isEmpty)
    }

    // kubernetes/kubernetes#84322: clients were stuck for ever on a destination with weight 0.
    @Test func `draining has a deadline`() {
        var (table, kernel) = start(plan([1, 2]))
        kernel.perform(table.apply([("shop/web", plan([1]))], now: 10))
        #expect(table.finishDraining(key, connections: [id(2): .init(active: 3)], now: 909).isEmpty)
        kernel.perform(table.finishDraining(key, connections: [id(2): .init(active: 3)], now: 911))
        #expect(kernel.servers[key] == [id(1): 1])
    }

    // kubernetes/kubernetes#81775: a destination that came back stayed at weight 0.
    @Test func `an endpoint that comes back gets its weight back`() {
        var (table, kernel) = start(plan([1, 2]))
        kernel.perform(table.apply([("shop/web", plan([1]))], now: 10))
        let back = table.apply([("shop/web", plan([1, 2]))], now: 20)
        #expect(back == [.setDestination(Destination(ip("10.244.1.2"), 8080), of: key)])
        kernel.perform(back)
        #expect(table.drainingServers.isEmpty)
    }

    @Test func `UDP moves at once`() {
        var (table, kernel) = start(plan([1, 2], transport: .udp))
        kernel.perform(table.apply([("shop/web", plan([1], transport: .udp))], now: 10))
        #expect(kernel.servers[FrontendKey(vip, .udp, 80)] == [id(1): 1])
        kernel.perform(table.apply([("shop/web", nil)], now: 10))
        #expect(kernel.servers.isEmpty && table.isEmpty)
    }

    @Test func `a terminating endpoint that serves has weight 0 for as long as it is there`() {
        var (table, kernel) = start(plan([1, 2]))
        kernel.perform(table.apply([("shop/web", plan([1], draining: [2]))], now: 10))
        #expect(kernel.servers[key] == [id(1): 1, id(2): 0])
        #expect(table.drainingServers.isEmpty)
    }

    @Test func `a Service that is gone keeps its address until its connections end`() {
        var (table, kernel) = start(plan([1]))
        kernel.perform(table.apply([("shop/web", nil)], now: 10))
        #expect(kernel.servers[key] == [id(1): 0] && table.needs(vip))
        kernel.perform(table.finishDraining(key, connections: [:], now: 20))
        #expect(kernel.servers.isEmpty && !table.needs(vip) && table.isEmpty)
    }

    @Test func `an external address that nobody has is not taken from the others`() {
        let external = ip("203.0.113.7")
        let frontend = FrontendKey(external, .tcp, 80)
        var (table, kernel) = start(plan([1, 2], address: external, kind: .externalIP))
        let drained = DrainingDestination(frontend, ip("10.244.1.1"))
        kernel.perform(table.apply([("shop/web", nil)], now: 10))
        #expect(!table.needs(external))
        #expect(
            table.drainingDestinations
                == [drained, DrainingDestination(frontend, ip("10.244.1.2"))]
        )
        // A restart finds the same state.
        let (adopted, operations) = ServerTable.adopting(
            kernel.dump,
            plans: [],
            BalancingDefaults(),
            drainTimeout: 900,
            now: 0
        )
        #expect(operations.isEmpty)
        #expect(adopted.drainingDestinations == table.drainingDestinations)
        let live = [id(1): ServerTable.Connections(active: 1), id(2): .init(active: 0)]
        kernel.perform(table.finishDraining(frontend, connections: live, now: 20))
        #expect(table.drainingDestinations == [drained])
        kernel.perform(
            table.apply([("shop/web", plan([2], address: external, kind: .externalIP))], now: 30)
        )
        #expect(table.drainingDestinations.isEmpty)
        let own = Destination.ID(external, 80)
        #expect(kernel.servers[frontend] == [id(1): 0, id(2): 1, own: 0])
    }

    @Test func `closing connections hold an endpoint, but not a Service that is gone`() {
        var (table, kernel) = start(plan([1, 2]))
        kernel.perform(table.apply([("shop/web", plan([1]))], now: 10))
        let closing = ServerTable.Connections(active: 0, inactive: 7)
        #expect(table.finishDraining(key, connections: [id(2): closing], now: 20).isEmpty)
        kernel.perform(table.apply([("shop/web", nil)], now: 30))
        kernel.perform(
            table.finishDraining(key, connections: [id(1): closing, id(2): closing], now: 40)
        )
        #expect(kernel.servers.isEmpty && table.isEmpty)
    }

    @Test func `a frontend that moves to another Service is not removed`() {
        var (table, kernel) = start(plan([1]))
        let other = plan([1, 2], service: "shop/other")
        kernel.perform(table.apply([("shop/web", nil), ("shop/other", other)], now: 10))
        #expect(kernel.servers[key] == [id(1): 1, id(2): 1])
    }

    @Test func `Services without endpoints have an address, and no server`() {
        let (table, kernel) = start(plan([]))
        #expect(kernel.servers.isEmpty && table.needs(vip))
    }

    private func retiring(
        _ kernel: FakeIPVS,
        _ plans: [ServicePlan],
        bound: Set<IPAddress> = [vip],
        excluded: IPAddress? = nil
    ) -> (ServerTable, [ServerOperation]) {
        ServerTable.adopting(
            kernel.dump,
            plans: plans,
            BalancingDefaults(),
            drainTimeout: 900,
            bound: bound,
            isExcluded: { $0 == excluded },
            isRetiring: true,
            now: 0
        )
    }

    @Test func `retiring servers follow their Services until they have no connections`() {
        var (_, kernel) = start(plan([1]))
        let other = plan([1], service: "shop/other", address: ip("10.96.0.2"))
        var (table, operations) = retiring(kernel, [plan([1]), other])
        #expect(operations.isEmpty && table.served == [key] && table.addresses == [vip])
        kernel.perform(table.apply([("shop/web", plan([2])), ("shop/other", nil)], now: 10))
        #expect(kernel.servers[key] == [id(1): 0, id(2): 1])
        operations = table.retire([key])
        kernel.perform(operations)
        #expect(kernel.servers.isEmpty && table.isEmpty && table.takeTouchedAddresses() == [vip])
        #expect(table.apply([("shop/web", plan([3]))], now: 20).isEmpty && table.isEmpty)
    }

    @Test func `retiring servers keep external addresses that were bound, and bind no others`() {
        let external = ip("203.0.113.7")
        let web = plan([1], address: external, kind: .externalIP)
        let (_, kernel) = start(web)
        #expect(retiring(kernel, [web]).0.addresses.isEmpty)
        #expect(retiring(kernel, [web], bound: [external]).0.addresses == [external])
    }

    @Test func `retiring, connectionless clients move at once, and what is excluded stays`() {
        var (_, kernel) = start(plan([1], transport: .udp))
        let (table, operations) = retiring(kernel, [plan([1], transport: .udp)])
        #expect(operations == [.remove(FrontendKey(vip, .udp, 80))] && table.isEmpty)
        kernel.perform(operations)
        (_, kernel) = start(plan([1]))
        #expect(retiring(kernel, [plan([1])], excluded: vip).1.isEmpty)
    }

    // kubernetes/kubernetes#55857: virtual servers of others were flushed at start.
    @Test func `what is excluded is not removed`() {
        let foreign = VirtualServer(
            key: FrontendKey(ip("192.0.2.5"), .tcp, 443),
            scheduler: "wlc",
            destinations: [Destination(ip("192.0.2.6"), 443)]
        )
        let (table, operations) = ServerTable.adopting(
            [foreign],
            plans: [],
            BalancingDefaults(),
            drainTimeout: 900,
            isExcluded: { $0 == ip("192.0.2.5") },
            now: 0
        )
        #expect(operations.isEmpty && table.isEmpty)
    }

    /// Returns a random plan for one of five Services.
    private func change(_ random: inout Seeded) -> (service: String, plan: ServicePlan?) {
        let number = Int.random(in: 0..<5, using: &random)
        let service = "shop/s\(number)"
        guard Int.random(in: 0..<6, using: &random) > 0 else { return (service, nil) }
        return (
            service,
            plan(
                (1...4).filter { _ in Bool.random(using: &random) },
                draining: [5].filter { _ in Bool.random(using: &random) },
                transport: number < 2 ? .udp : .tcp,
                service: service,
                address: ip("10.96.0.\(number + 1)"),
                kind: number == 4 ? .nodePort : .clusterIP,
                affinity: Bool.random(using: &random) ? 60 : nil
            )
        )
    }

    @Test(arguments: 0..<20)
    func `any history leads to the plans, and a restart changes nothing`(seed: UInt64) {
        var random = Seeded(seed)
        var table = ServerTable(BalancingDefaults(), drainTimeout: 30)
        var kernel = FakeIPVS()
        var plans: [String: ServicePlan] = [:]
        for step in 0..<300 {
            let (service, new) = change(&random)
            plans[service] = new
            kernel.perform(table.apply([(service, new)], now: Double(step)))
            for key in table.drainingServers where Bool.random(using: &random) {
                let live = (kernel.servers[key] ?? [:]).keys.map {
                    ($0, ServerTable.Connections(active: Int.random(in: 0...1, using: &random)))
                }
                kernel.perform(
                    table.finishDraining(
                        key,
                        connections: Dictionary(uniqueKeysWithValues: live),
                        now: Double(step)
                    )
                )
            }
        }
        for key in table.drainingServers {
            kernel.perform(table.finishDraining(key, connections: kernel.ended(key), now: 1e6))
        }
        let wanted = plans.values.flatMap { $0.virtualServers(BalancingDefaults()) }
        #expect(IPVSText.lines(kernel.dump) == IPVSText.lines(wanted))
        let (_, operations) = ServerTable.adopting(
            kernel.dump,
            plans: Array(plans.values),
            BalancingDefaults(),
            drainTimeout: 30,
            now: 0
        )
        #expect(operations.isEmpty, "\(operations)")
        retire(&kernel, plans, &random)
    }

    /// Checks that no new destination appears, the rest follows the plans, and nothing stays.
    private func retire(
        _ kernel: inout FakeIPVS,
        _ plans: [String: ServicePlan],
        _ random: inout Seeded
    ) {
        let before = Set(kernel.servers.keys)
        var plans = plans
        var (table, operations) = retiring(kernel, Array(plans.values))
        kernel.perform(operations)
        for step in 0..<50 {
            let (service, new) = change(&random)
            plans[service] = new
            kernel.perform(table.apply([(service, new)], now: Double(step)))
            #expect(before.isSuperset(of: kernel.servers.keys))
            let unused = table.served.filter { _ in Int.random(in: 0..<20, using: &random) == 0 }
            kernel.perform(table.retire(unused))
            #expect(table.served.isDisjoint(with: unused))
            for server in plans.values.flatMap({ $0.virtualServers(BalancingDefaults()) })
            where table.served.contains(server.key) {
                for destination in server.destinations {
                    #expect(kernel.servers[server.key]?[destination.id] == destination.weight)
                }
            }
        }
        kernel.perform(table.retire(table.served))
        for key in table.drainingServers {
            kernel.perform(table.finishDraining(key, connections: kernel.ended(key), now: 1e6))
        }
        #expect(kernel.servers.isEmpty && table.isEmpty, "\(kernel.servers)")
    }
}
