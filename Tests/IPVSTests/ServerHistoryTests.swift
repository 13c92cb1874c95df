@testable import IPVS
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// Frontends that move between Services, with changes of several Services at once.
private struct MovingFrontends {
    private static let keys: [FrontendKey] = (1...6).map { number in
        let address = number <= 4 ? "10.96.0.\(number)" : "203.0.113.\(number)"
        return FrontendKey(ip(address), number % 3 == 0 ? .udp : .tcp, 80)
    }

    var random: Seeded
    private var owners: [FrontendKey: Int] = [:]
    private var hosts: [Int: [Int]] = [:]
    private var affinity: [Int: UInt32] = [:]
    private(set) var plans: [String: ServicePlan] = [:]

    init(seed: UInt64) { random = Seeded(seed) }

    /// Changes some owners and endpoints; returns what that changes.
    mutating func next() -> [PlanChange] {
        for key in Self.keys where Int.random(in: 0..<4, using: &random) == 0 {
            let owner = Int.random(in: 0..<5, using: &random)
            owners[key] = owner < 4 ? owner : nil
        }
        for service in 0..<4 where Int.random(in: 0..<3, using: &random) == 0 {
            hosts[service] = (1...5).filter { _ in Bool.random(using: &random) }
            affinity[service] = Bool.random(using: &random) ? 60 : nil
        }
        return (0..<4).compactMap { service in
            let name = "shop/s\(service)"
            let (old, new) = (plans[name], plan(service))
            plans[name] = new
            return old == new ? nil : PlanChange(name, old: old, new: new)
        }
    }

    private func plan(_ service: Int) -> ServicePlan? {
        let keys = Self.keys.filter { owners[$0] == service }
        guard !keys.isEmpty else { return nil }
        let endpoints = (hosts[service] ?? []).map {
            Endpoint(ip("10.244.1.\($0)"), 8080, isLocal: false)
        }
        return ServicePlan(
            service: "shop/s\(service)",
            frontends: keys.map { key in
                Frontend(
                    key: key,
                    kind: key.address < ip("11.0.0.0") ? .clusterIP : .externalIP,
                    portName: "",
                    action: endpoints.isEmpty ? .reject : .balance(pool: 0),
                    masquerade: .nonPods,
                    affinityTimeout: affinity[service]
                )
            },
            pools: [Pool(endpoints)]
        )
    }
}

/// A kernel with a dummy device.
private struct Machine {
    var kernel = FakeIPVS()
    var device: Set<IPAddress> = []

    mutating func perform(_ operations: [ServerOperation], _ table: inout ServerTable) {
        kernel.perform(operations)
        for address in table.takeTouchedAddresses() {
            if table.needs(address) { device.insert(address) } else { device.remove(address) }
        }
    }

    /// Checks that new connections go where the plans say, and nowhere else.
    func check(_ table: ServerTable, _ plans: [ServicePlan]) {
        let wanted = Dictionary(
            uniqueKeysWithValues: plans.flatMap { $0.virtualServers(BalancingDefaults()) }
                .map { ($0.key, $0) }
        )
        for (key, server) in wanted {
            let open = (kernel.servers[key] ?? [:]).filter { $0.value > 0 }.keys
            #expect(Set(open) == Set(server.destinations.map(\.id)), "\(key)")
            #expect(kernel.attributes[key]?.attributes == server.attributes)
            #expect(!table.isLeaving(key))
        }
        for (key, destinations) in kernel.servers {
            if key.transport == .udp { #expect(!destinations.values.contains(0), "\(key)") }
            guard wanted[key] == nil else { continue }
            #expect(table.isLeaving(key) && key.transport != .udp, "\(key)")
            // To an address that others may have, new connections go where they were sent.
            let open = destinations.filter { $0.value > 0 }.keys
            #expect(device.contains(key.address) ? open.isEmpty : Set(open) == [key.place])
        }
        #expect(device == table.addresses)
        #expect(device.isSuperset(of: plans.flatMap(\.virtualAddresses)))
    }
}

@Suite struct ServerHistoryTests {
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `frontends move between Services, and connections stay where they were`(seed: UInt64) {
        var history = MovingFrontends(seed: seed)
        var table = ServerTable(BalancingDefaults(), drainTimeout: 20)
        var machine = Machine()
        for step in 0..<60 {
            machine.perform(table.apply(history.next(), now: Double(step)), &table)
            machine.check(table, Array(history.plans.values))
            if Int.random(in: 0..<10, using: &history.random) == 0 {
                restart(&table, &machine, history.plans, now: Double(step))
                machine.check(table, Array(history.plans.values))
            }
            for key in table.drainingServers where Bool.random(using: &history.random) {
                let live = (machine.kernel.servers[key] ?? [:]).mapValues { _ in
                    ServerTable.Connections(
                        active: Int.random(in: 0...1, using: &history.random),
                        inactive: Int.random(in: 0...1, using: &history.random)
                    )
                }
                machine.perform(
                    table.finishDraining(key, connections: live, now: Double(step)),
                    &table
                )
            }
            machine.check(table, Array(history.plans.values))
        }
    }

    private func restart(
        _ table: inout ServerTable,
        _ machine: inout Machine,
        _ plans: [String: ServicePlan],
        now: Double
    ) {
        let operations: [ServerOperation]
        (table, operations) = ServerTable.adopting(
            machine.kernel.dump,
            plans: Array(plans.values),
            BalancingDefaults(),
            drainTimeout: 20,
            bound: machine.device,
            now: now
        )
        machine.perform(operations, &table)
        machine.device = machine.device.filter { table.needs($0) }
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `nothing drains for longer than the timeout`(seed: UInt64) {
        var history = MovingFrontends(seed: seed)
        var table = ServerTable(BalancingDefaults(), drainTimeout: 20)
        var machine = Machine()
        for step in 0..<40 {
            machine.perform(table.apply(history.next(), now: Double(step)), &table)
        }
        // Every connection stays open.
        for key in table.drainingServers {
            let busy = (machine.kernel.servers[key] ?? [:]).mapValues { _ in
                ServerTable.Connections(active: 1)
            }
            machine.perform(table.finishDraining(key, connections: busy, now: 39 + 20), &table)
        }
        #expect(table.drainingServers.isEmpty)
        let wanted = history.plans.values.flatMap { $0.virtualServers(BalancingDefaults()) }
        #expect(IPVSText.lines(machine.kernel.dump) == IPVSText.lines(wanted))
        #expect(machine.device == Set(history.plans.values.flatMap(\.virtualAddresses)))
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `without draining the kernel has exactly what the plans say, always`(seed: UInt64) {
        var history = MovingFrontends(seed: seed)
        var table = ServerTable(BalancingDefaults(), drainTimeout: 0)
        var machine = Machine()
        for step in 0..<40 {
            machine.perform(table.apply(history.next(), now: Double(step)), &table)
            let wanted = history.plans.values.flatMap { $0.virtualServers(BalancingDefaults()) }
            #expect(IPVSText.lines(machine.kernel.dump) == IPVSText.lines(wanted))
            #expect(table.drainingServers.isEmpty && table.drainingDestinations.isEmpty)
        }
    }
}
