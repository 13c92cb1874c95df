import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

@Suite struct ClusterPlansTests {
    private func service(_ name: String, ip address: String, createdAt: Int64?) -> Service {
        var service = ClusterBuilder(name, clusterIP: address).service
        service.createdAt = createdAt
        service.externalIPs = [ip("198.51.100.1")]
        return service
    }

    private func update(
        _ plans: inout ClusterPlans,
        _ services: [String: Service],
        _ names: [String]
    ) -> Set<String> {
        let changed = plans.update(
            names.map { ObjectName(namespace: "default", name: $0) },
            for: NodeView(name: "here")
        ) { name in services[name.name].map { ($0, []) } }
        return Set(changed.changes.map(\.service))
    }

    private func owner(_ plans: ClusterPlans) -> [String] {
        plans.plans.filter { $0.frontends.contains { $0.kind == .externalIP } }.map(
            \.service
        )
    }

    private func told(_ plans: ClusterPlans, of name: String) -> [String] {
        (plans.diagnostics[ObjectName(namespace: "default", name: name)] ?? []).map(\.description)
    }

    @Test func `of Services that come at once the older has what two claim`() {
        let services = [
            "young": service("young", ip: "10.96.0.1", createdAt: 200),
            "old": service("old", ip: "10.96.0.2", createdAt: 100),
        ]
        for order in [["young", "old"], ["old", "young"]] {
            var plans = ClusterPlans()
            _ = update(&plans, services, order)
            #expect(owner(plans) == ["default/old"])
            #expect(
                told(plans, of: "young") == [
                    "Service default/young: spec.externalIPs: 198.51.100.1:80/tcp belongs to the older"
                        + " Service default/old, and is not programmed for this Service; choose another"
                        + " address or port"
                ]
            )
            #expect(plans.count == 2)
        }
    }

    @Test func `who has a frontend keeps it when an older Service is edited, and both are told`() {
        var services = [
            "young": service("young", ip: "10.96.0.1", createdAt: 200),
            "old": ClusterBuilder("old", clusterIP: "10.96.0.2").service,
        ]
        services["old"]?.createdAt = 100
        var plans = ClusterPlans()
        _ = update(&plans, services, ["young", "old"])
        services["old"]?.externalIPs = [ip("198.51.100.1")]
        let outcome = plans.update(
            [ObjectName(namespace: "default", name: "old")],
            for: NodeView(name: "here")
        ) { services[$0.name].map { ($0, []) } }
        #expect(outcome.changes.isEmpty)
        // The owner was not compiled again, but is told about the conflict all the same.
        #expect(Set(outcome.diagnosed.map(\.name)) == ["young", "old"])
        #expect(owner(plans) == ["default/young"])
        #expect(told(plans, of: "old")[0].contains("was in use by Service default/young before"))
        #expect(
            told(plans, of: "young") == [
                "Service default/young: spec.externalIPs: Service default/old wants"
                    + " 198.51.100.1:80/tcp, too, as an external IP; it stays with this Service"
            ]
        )
        #expect(plans.diagnostics.values.joined().allSatisfy { $0.event == .frontendConflict })
        services["old"]?.externalIPs = []
        _ = update(&plans, services, ["old"])
        #expect(plans.diagnostics.isEmpty)
    }

    @Test(arguments: [(["victim"], ["thief"]), (["thief"], ["victim"]), (["thief", "victim"], [])])
    func `nobody takes what the API server allots`(first: [String], second: [String]) {
        var victim = ClusterBuilder("victim", clusterIP: "10.96.0.1").service
        victim.createdAt = 200
        victim.ports[0].nodePort = 30080
        var thief = ClusterBuilder("thief", clusterIP: "10.96.0.2").service
        thief.createdAt = 100
        thief.externalIPs = [ip("10.96.0.1"), ip("192.0.2.1")]
        thief.ports.append(ServicePort(name: "node", transport: .tcp, port: 30080))
        let services = ["victim": victim, "thief": thief]
        var plans = ClusterPlans()
        for names in [first, second] {
            _ = plans.update(
                names.map { ObjectName(namespace: "default", name: $0) },
                for: NodeView(name: "here", nodePortAddresses: [ip("192.0.2.1")])
            ) { services[$0.name].map { ($0, []) } }
        }
        let keys = plans.plan(of: victim.name)?.frontends.map(\.key.description)
        #expect(keys == ["10.96.0.1:80/tcp", "192.0.2.1:30080/tcp"])
        #expect(
            told(plans, of: "thief").map { $0.contains("of Service default/victim, which nobody") }
                == [
                    true, true,
                ]
        )
        #expect(told(plans, of: "victim").count == 2)
    }

    private func balanced(_ name: String, _ port: UInt16?, _ createdAt: Int64) -> Service {
        var service = ClusterBuilder(name, clusterIP: "10.96.0.\(createdAt)").service
        service.createdAt = createdAt
        service.type = .loadBalancer
        service.externalTrafficPolicy = .local
        service.healthCheckNodePort = port
        return service
    }

    @Test func `a health check and a NodePort on one port are told, and the older has it`() {
        let check = balanced("check", 30080, 1)
        var port = balanced("port", nil, 2)
        port.ports[0].nodePort = 30080
        let twin = balanced("twin", 30080, 3)
        let services = ["check": check, "port": port, "twin": twin]
        let view = NodeView(name: "here", nodePortAddresses: [ip("192.0.2.1")])
        var plans = ClusterPlans()
        let names = services.values.map(\.name)
        _ = plans.update(names, for: view) { services[$0.name].map { ($0, []) } }
        #expect(plans.plan(of: check.name)?.healthCheck?.port == 30080)
        #expect(plans.plan(of: twin.name)?.healthCheck == nil)
        #expect(plans.plan(of: port.name)?.frontends.map(\.kind) == [.clusterIP])
        #expect(
            told(plans, of: "check") == [
                "Service default/check: spec.healthCheckNodePort: Service default/port and 1 more"
                    + " want 192.0.2.1:30080/tcp, too, as a NodePort; it stays with this Service"
            ]
        )
        #expect(told(plans, of: "twin")[0].contains("this Service's health check is not answered"))
        #expect(told(plans, of: "port")[0].contains("spec.ports: 192.0.2.1:30080/tcp belongs to"))
        _ = plans.update([check.name], for: view) { $0 == check.name ? nil : (port, []) }
        #expect(plans.plan(of: port.name)?.frontends.map(\.kind) == [.clusterIP, .nodePort])
    }

    @Test func `a frontend is inherited when its owner goes`() {
        var services = [
            "young": service("young", ip: "10.96.0.1", createdAt: 200),
            "old": service("old", ip: "10.96.0.2", createdAt: 100),
            "third": service("third", ip: "10.96.0.3", createdAt: nil),
        ]
        var plans = ClusterPlans()
        _ = update(&plans, services, ["third", "young", "old"])
        services["old"] = nil
        #expect(update(&plans, services, ["old"]) == ["default/old", "default/young"])
        #expect(owner(plans) == ["default/young"])
        services["young"] = nil
        _ = update(&plans, services, ["young"])
        #expect(owner(plans) == ["default/third"])
        #expect(plans.diagnostics.isEmpty)
    }

    @Test func `nothing changes when nothing changed`() {
        let services = ["web": service("web", ip: "10.96.0.1", createdAt: 1)]
        var plans = ClusterPlans()
        #expect(update(&plans, services, ["web"]) == ["default/web"])
        #expect(update(&plans, services, ["web"]).isEmpty)
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `ownership follows the claims, whatever the order within a round`(seed: UInt64) {
        var random = Seeded(seed)
        var services: [String: Service] = [:]
        /// The round since which each Service, as the same object, has claimed the address.
        var since: [String: (round: Int, createdAt: Int64)] = [:]
        var plans = ClusterPlans()
        for round in 0..<60 {
            let names = Set((0..<3).map { _ in "s\(Int.random(in: 0..<6, using: &random))" })
            for name in names {
                if Int.random(in: 0..<3, using: &random) == 0 {
                    (services[name], since[name]) = (nil, nil)
                    continue
                }
                let createdAt = Int64.random(in: 0..<4, using: &random)
                services[name] = service(
                    name,
                    ip: "10.96.0.\(name.dropFirst())9",
                    createdAt: createdAt
                )
                if since[name]?.createdAt != createdAt { since[name] = (round, createdAt) }
            }
            _ = update(&plans, services, names.shuffled(using: &random))
            let first = since.min {
                ($0.value.round, $0.value.createdAt, $0.key)
                    < ($1.value.round, $1.value.createdAt, $1.key)
            }
            #expect(owner(plans) == (first.map { ["default/\($0.key)"] } ?? []))
            let told = Set(plans.diagnostics.keys.map(\.name))
            #expect(told == (services.count > 1 ? Set(services.keys) : []))
        }
    }
}
