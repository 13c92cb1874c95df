@testable import IPVS
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

/// The state of a kernel after the operations; it refuses what a real kernel refuses.
struct FakeIPVS {
    var servers: [FrontendKey: [Destination.ID: UInt32]] = [:]
    var attributes: [FrontendKey: VirtualServer] = [:]

    mutating func perform(_ operations: [ServerOperation]) {
        for operation in operations {
            let key = operation.key
            switch operation {
            case .add(let server):
                #expect(servers[key] == nil, "\(operation): it exists")
                servers[key] = [:]
                attributes[key] = server
            case .set(let server):
                #expect(servers[key] != nil, "\(operation): there is none")
                attributes[key] = server
            case .remove:
                #expect(servers.removeValue(forKey: key) != nil, "\(operation): there is none")
                attributes[key] = nil
            case .addDestination(let destination, _):
                #expect(servers[key]?[destination.id] == nil, "\(operation): it exists")
                servers[key]?[destination.id] = destination.weight
            case .setDestination(let destination, _):
                #expect(servers[key]?[destination.id] != nil, "\(operation): there is none")
                servers[key]?[destination.id] = destination.weight
            case .removeDestination(let id, _):
                #expect(servers[key]?.removeValue(forKey: id) != nil, "\(operation): none")
            }
        }
    }

    /// The connections of a server's destinations once all of them have ended.
    func ended(_ key: FrontendKey) -> [Destination.ID: ServerTable.Connections] {
        (servers[key] ?? [:]).mapValues { _ in .init(active: 0) }
    }

    /// The servers as the kernel would return them.
    var dump: [VirtualServer] {
        attributes.values.map { server in
            var server = server
            server.destinations = (servers[server.key] ?? [:])
                .map { Destination($0.key.address, $0.key.port, weight: $0.value) }
                .sorted { $0.id < $1.id }
            return server
        }
    }
}

extension ServerTable {
    mutating func apply(
        _ changed: [(service: String, plan: ServicePlan?)],
        now: Double
    ) -> [ServerOperation] {
        apply(changed.map { PlanChange($0, old: plans[$0], new: $1) }, now: now)
    }
}

let vip = ip("10.96.0.1")

func plan(
    _ hosts: [Int],
    draining: [Int] = [],
    transport: TransportProtocol = .tcp,
    service: String = "shop/web",
    address: IPAddress = vip,
    kind: Frontend.Kind = .clusterIP,
    affinity: UInt32? = nil
) -> ServicePlan {
    let pod = { (host: Int) in Endpoint(ip("10.244.1.\(host)"), 8080, isLocal: false) }
    return ServicePlan(
        service: service,
        frontends: [
            Frontend(
                key: FrontendKey(address, transport, 80),
                kind: kind,
                portName: "http",
                action: hosts.isEmpty && draining.isEmpty ? .reject : .balance(pool: 0),
                masquerade: .nonPods,
                affinityTimeout: affinity
            )
        ],
        pools: hosts.isEmpty && draining.isEmpty
            ? [] : [Pool(hosts.sorted().map(pod), draining: draining.sorted().map(pod))]
    )
}

func id(_ host: Int) -> Destination.ID {
    Destination.ID(ip("10.244.1.\(host)"), 8080)
}

/// Returns a table with one plan, and a kernel that holds it.
func start(_ plan: ServicePlan) -> (ServerTable, FakeIPVS) {
    var table = ServerTable(BalancingDefaults(), drainTimeout: 900)
    var kernel = FakeIPVS()
    kernel.perform(table.apply([(plan.service, plan)], now: 0))
    return (table, kernel)
}
